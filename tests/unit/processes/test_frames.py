"""Frames between guardian and owner."""

from __future__ import annotations

from celery_graceful.processes.guardian.frames import Frames, pack
from celery_graceful.processes.process_output import Lines


def test_frames_come_in_pieces() -> None:
    sent = [("stop", 1.5), ("output", b"x" * 1000), ("left", [1, 2])]
    data = b"".join(pack(*frame) for frame in sent)
    for size in (1, 3, 7, len(data)):
        frames = Frames()
        got = [f for i in range(0, len(data), size) for f in frames.add(data[i : i + size])]
        assert got == sent


def test_lines_come_in_pieces() -> None:
    seen: list[str] = []
    lines = Lines(seen.append)
    for piece in (b"a", b"b\r\nc\n\n", b"\xff", b"d"):
        lines.feed(piece)
    assert seen == ["ab", "c", ""]
    lines.close()
    lines.close()
    assert seen == ["ab", "c", "", "�d"]


def test_a_line_without_end_is_logged_in_pieces() -> None:
    seen: list[str] = []
    lines = Lines(seen.append)
    for _ in range(100):
        lines.feed(b"x" * 1000)
    lines.close()
    assert "".join(seen) == "x" * 100_000
    assert max(map(len, seen)) < 10_000
