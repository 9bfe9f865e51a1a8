"""A text in shared memory: always read as a whole."""

from __future__ import annotations

import mmap
import struct
import sys
import threading
import time

import pytest

from celery_graceful.stop.flag_bytes import ModeSnapshot

SIZE = 4096


@pytest.fixture
def mode_snapshot() -> ModeSnapshot:
    return ModeSnapshot(mmap.mmap(-1, SIZE + 64), 64, SIZE)


def test_it_is_empty_at_first(mode_snapshot: ModeSnapshot) -> None:
    assert not mode_snapshot
    assert mode_snapshot.read() == b""


def test_it_tells_what_was_written_last(mode_snapshot: ModeSnapshot) -> None:
    first = mode_snapshot.number
    mode_snapshot.write(b"longer than the next one")
    assert mode_snapshot
    assert mode_snapshot.read() == b"longer than the next one"
    mode_snapshot.write(b"short")
    assert mode_snapshot.read() == b"short"
    assert mode_snapshot.number != first
    mode_snapshot.write(b"")
    assert not mode_snapshot
    assert mode_snapshot.read() == b""


def test_what_is_too_long_is_refused_and_changes_nothing(mode_snapshot: ModeSnapshot) -> None:
    mode_snapshot.write(b"as it was")
    with pytest.raises(ValueError, match="is the most"):
        mode_snapshot.write(b"x" * SIZE)
    assert mode_snapshot.read() == b"as it was"


def test_nobody_reads_half_of_a_text(mode_snapshot: ModeSnapshot) -> None:
    texts = [bytes([65 + number]) * (1000 + number) for number in range(20)]
    stop = threading.Event()
    torn: list[bytes] = []

    def read() -> None:
        while not stop.is_set():
            text = mode_snapshot.read()
            if text and text not in texts:
                torn.append(text)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(3000):
        mode_snapshot.write(texts[number % len(texts)])
    stop.set()
    for reader in readers:
        reader.join()
    assert torn == []


def test_a_writer_that_died_in_between_holds_up_no_reader(mode_snapshot: ModeSnapshot) -> None:
    mode_snapshot.write(b"as it was")
    assert mode_snapshot.read() == b"as it was"
    for _ in range(2):
        number = int.from_bytes(mode_snapshot.number, sys.byteorder)
        mode_snapshot._memory[mode_snapshot._number] = struct.pack("=I", number | 1)
        mode_snapshot._memory[mode_snapshot._text : mode_snapshot._text + 2] = b"XX"
        began = time.process_time()
        assert mode_snapshot.read() == b"as it was"
        assert time.process_time() - began < 1
    mode_snapshot.write(b"the next")
    assert mode_snapshot.read() == b"the next"
    assert int.from_bytes(mode_snapshot.number, sys.byteorder) % 2 == 0


def test_a_reader_that_has_never_read_takes_it_for_empty(mode_snapshot: ModeSnapshot) -> None:
    mode_snapshot._memory[mode_snapshot._number] = struct.pack("=I", 1)
    assert mode_snapshot.read() == b""
