from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pyzstd
from celery import Celery
from hypothesis import given, settings
from hypothesis import strategies as st

from celery_graceful import Graceful, IterableTask
from celery_graceful.errors import CursorError, SourceError
from celery_graceful.sources import batches, csv_count, csv_rows, jsonl, lines
from celery_graceful.sources.reading import seekable
from celery_graceful.sources.reading.compressed import gzip_index
from celery_graceful.sources.reading.compressed.kept_index import KeptIndex
from celery_graceful.testing import run_until

TEXTS = st.text(alphabet='ab,"\n\réß漢', max_size=60)


def zstd(data: bytes, frame: int = 1 << 20) -> bytes:
    out = io.BytesIO()
    options: dict[int, int] = {pyzstd.CParameter.checksumFlag: 1}
    with pyzstd.SeekableZstdFile(
        out, "w", level_or_option=options, max_frame_content_size=frame
    ) as file:
        file.write(data)
    return out.getvalue()


def members(data: bytes, sizes: list[int]) -> bytes:
    """A gzip file of several members, some of them empty."""
    parts, start = [], 0
    for size in sizes:
        parts.append(gzip.compress(data[start : start + size]))
        start += size
    return b"".join(parts) + gzip.compress(data[start:])


def rough(size: int, seed: int = 1) -> bytes:
    """CSV that hardly compresses."""
    chance = random.Random(seed)
    rows = (f"{i},{chance.randbytes(20).hex()}\n".encode() for i in range(size // 48))
    return b"n,text\n" + b"".join(rows)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "celery-graceful"


@settings(max_examples=25)
@given(
    TEXTS,
    st.booleans(),
    st.lists(st.integers(0, 20), max_size=4),
    st.sampled_from(["gz", "zst"]),
    st.sampled_from([1, 7, 1000]),
)
def test_the_same_as_plain_at_any_cut(
    text: str, bom: bool, sizes: list[int], suffix: str, frame: int
) -> None:
    data = (b"\xef\xbb\xbf" if bom else b"") + text.encode()
    packed = members(data, sizes) if suffix == "gz" else zstd(data, frame)
    with tempfile.TemporaryDirectory() as folder:
        plain, file = Path(folder, "plain"), Path(folder, f"file.{suffix}")
        plain.write_bytes(data)
        file.write_bytes(packed)
        for source in (lines, lambda path, **more: csv_rows(path, lists=True, **more)):
            expected = [(item, offset) for item, (offset, _) in source(plain)]
            pairs = list(source(file))
            assert [(item, offset) for item, (offset, _) in pairs] == expected
            for done, (_, cursor) in enumerate(pairs, 1):
                assert list(source(file, cursor=cursor)) == pairs[done:]
        assert csv_count(file) == csv_count(plain)


@pytest.mark.parametrize("packing", [gzip.compress, lambda d: members(d, [450_000] * 4), zstd])
def test_a_large_file_interrupted_at_random(
    tmp_path: Path, packing: Callable[[bytes], bytes]
) -> None:
    data = rough(2 << 20)
    path = tmp_path / "file"  # the format is seen by the first bytes
    path.write_bytes(packing(data))
    expected = [line.split(",") for line in data.decode().splitlines()[1:]]
    chance, rows, cursor = random.Random(7), [], None
    while True:
        source = csv_rows(path, cursor=cursor, lists=True)
        left = chance.randrange(1, 20_000)
        for row, cursor in source:  # noqa: B007 - for the next execution
            rows.append(row)
            left -= 1
            if not left:
                break
        else:
            break
        source.close()  # type: ignore[attr-defined]
    assert rows == expected


def test_the_index_is_kept_beside_the_file_and_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(rough(3 << 20), 1))
    source = lines(path)
    for _ in range(40_000):
        _, cursor = next(source)
    assert not list(tmp_path.glob("*.gzidx"))
    source.close()  # type: ignore[attr-defined]  # as a stop does
    index = tmp_path / "rows.csv.gz.gzidx"
    assert index.stat().st_size > 32768
    next(lines(path, cursor=cursor))
    assert not caplog.records
    index.unlink()
    expected = next(lines(path, cursor=cursor))
    assert [r.getMessage() for r in caplog.records] == [
        f"{path}: there is no index of this gzip file yet, so what precedes byte {cursor[0]} of"
        f" its content is read again, this once; the index will be in {index}"
    ]
    assert index.exists()
    # A damaged one: slower, and the same.
    index.write_bytes(index.read_bytes()[:5000])
    caplog.clear()
    assert next(lines(path, cursor=cursor)) == expected
    assert "cannot be used" in caplog.records[0].getMessage()


KILLED = """
import os, signal, sys
from celery_graceful import sources

for number, (line, cursor) in enumerate(sources.lines(sys.argv[1])):
    if number == 30_000:
        print(cursor[0], cursor[1], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_that_is_killed_leaves_no_index_and_loses_nothing(tmp_path: Path) -> None:
    data = rough(3 << 20)
    path = tmp_path / "rows.gz"
    path.write_bytes(gzip.compress(data, 1))
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == -9, done.stderr
    offset, mark = done.stdout.split()
    rest = [line for line, _ in lines(path, cursor=[int(offset), mark])]
    assert rest == data.decode().splitlines()[30_001:]


def test_the_index_is_saved_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[None] = []
    save = KeptIndex.save
    monkeypatch.setattr(KeptIndex, "save", lambda self, inner: saved.append(save(self, inner)))
    monkeypatch.setattr(gzip_index, "_SAVE_AFTER", 1)
    path = tmp_path / "rows.gz"
    path.write_bytes(gzip.compress(rough(4 << 20), 1))
    source = lines(path)
    for _ in range(80_000):
        next(source)
    assert 1 <= len(saved) <= 2  # each when there is half as much again
    assert (tmp_path / "rows.gz.gzidx").exists()
    # A half-written one of a process that was killed while it wrote.
    part = tmp_path / "rows.gz.gzidx.part"
    part.touch()
    (tmp_path / "rows.gz.gzidx").unlink()
    list(lines(path))
    assert not (tmp_path / "rows.gz.gzidx").exists()
    os.utime(part, (1, 1))
    list(lines(path))
    assert (tmp_path / "rows.gz.gzidx").exists()
    assert not part.exists()


def test_a_task_that_is_stopped_saves_the_index(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(rough(3 << 20), 1))
    app = Celery("indexed", set_as_current=False)
    Graceful(app)
    seen = []

    class Import(IterableTask):
        name = "indexed.import"

        def build_enumerator(self, *, cursor: Any) -> Any:
            return batches(lines(path, cursor=cursor), 2000)

        def each_iteration(self, some: list[str]) -> None:
            seen.extend(some)

    partial_run = run_until(app.register_task(Import()), items=30)
    assert (tmp_path / "rows.csv.gz.gzidx").exists()
    partial_run.resume()
    assert seen == rough(3 << 20).decode().splitlines()


def test_the_index_of_another_file_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(rough(2 << 20, seed=1), 1))
    list(lines(path))
    before = (tmp_path / "rows.csv.gz.gzidx").read_bytes()
    other = rough(2 << 20, seed=2)
    path.write_bytes(gzip.compress(other, 1))
    offset = other.index(b"\n", 1_900_000) + 1
    line = next(lines(path, cursor=offset))[0]
    assert line == other[offset:].split(b"\n", 1)[0].decode()
    assert (tmp_path / "rows.csv.gz.gzidx").read_bytes() != before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_write_permission(tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "readonly"
    folder.mkdir()
    path = folder / "rows.csv.gz"
    path.write_bytes(gzip.compress(rough(2 << 20), 1))
    folder.chmod(0o500)
    list(lines(path))
    assert len(list(cache.iterdir())) == 1


def test_the_index_is_kept_in_the_cache_when_not_beside(
    tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = gzip.compress(rough(2 << 20), 1)
    pairs = list(lines(lambda: io.BytesIO(data)))
    assert [file.suffix for file in cache.iterdir()] == [".gzidx"]
    assert list(lines(lambda: io.BytesIO(data), cursor=pairs[9][1])) == pairs[10:]
    assert not caplog.records
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert list(lines(lambda: io.BytesIO(data))) == pairs
    assert "cannot be kept" in caplog.records[0].getMessage()
    assert "XDG_CACHE_HOME" in caplog.records[0].getMessage()


def test_members_appended_meanwhile_are_found(tmp_path: Path) -> None:
    path = tmp_path / "rows.gz"
    path.write_bytes(gzip.compress(b"1\n2\n"))
    pairs = list(lines(path))
    with open(path, "ab") as file:
        file.write(gzip.compress(b"3\n"))
    assert [line for line, _ in lines(path, cursor=pairs[0][1])] == ["2", "3"]


CUTS = [4, 15, 1000, 100_000, -20, -9, -8, -5, -4, -1]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("sizes", [[], [300_000, 300_000], [0, 1_000_000]])
def test_truncated_gzip(tmp_path: Path, cut: int, sizes: list[int]) -> None:
    data = rough(1 << 20)
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(members(data, sizes)[:cut])
    got: list[str] = []
    with pytest.raises(SourceError, match=r"rows\.csv\.gz.* after byte \d+ of .*content"):
        got.extend(line for line, _ in lines(path))
    # Nothing that is not in the file, such as half a line.
    assert got == data.decode().splitlines()[: len(got)]
    if cut == -9:
        assert len(got) > 15_000 or sizes == [0, 1_000_000]


def test_corrupt_data(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = rough(1 << 20)
    for name, packed in (("rows.gz", gzip.compress(data, 1)), ("rows.zst", zstd(data, 1 << 16))):
        for at in (len(packed) // 3, len(packed) // 2, len(packed) - 2000):
            damaged = bytearray(packed)
            damaged[at : at + 40] = b"\xff" * 40
            path = tmp_path / name
            path.write_bytes(damaged)
            with pytest.raises(SourceError, match=rf"{name}.*(after byte \d+|damaged)"):
                list(lines(path))


def test_padding_behind_the_last_member(tmp_path: Path) -> None:
    path = tmp_path / "rows.gz"
    for text in (b"a\nb\n", rough(200_000)):
        path.write_bytes(members(text, [2]) + bytes(512))
        assert [line for line, _ in lines(path)] == text.decode().splitlines()


def test_other_data_behind_the_last_member(tmp_path: Path) -> None:
    path = tmp_path / "rows.gz"
    path.write_bytes(gzip.compress(b"a\n") + b"garbage")
    with pytest.raises(SourceError, match="or has other data behind its end"):
        list(lines(path))


@pytest.mark.parametrize("suffix", ["gz", "zst", "txt"])
def test_empty_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows.{suffix}"
    for data in (b"", {"gz": gzip.compress(b""), "zst": zstd(b"")}.get(suffix, b"")):
        path.write_bytes(data)
        assert [*lines(path), *csv_rows(path), *jsonl(path)] == []


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        (".bz2", bz2.compress),
        (".xz", lzma.compress),
        (".lzma", lambda data: lzma.compress(data, lzma.FORMAT_ALONE)),
        (".zst", pyzstd.compress),
        ("", bz2.compress),
        ("", pyzstd.compress),
    ],
)
def test_the_command_in_the_error_makes_the_file_seekable(
    tmp_path: Path,
    suffix: str,
    pack: Callable[[bytes], bytes],
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = rough(100_000)
    path = tmp_path / f"rows.csv{suffix}"
    path.write_bytes(pack(data))
    with pytest.raises(SourceError, match="python -m") as caught:
        next(csv_rows(path))
    words = str(caught.value)[str(caught.value).index("python -m") :].split()
    assert words[:3] == ["python", "-m", "celery_graceful.sources.reading.seekable"]
    if suffix == ".xz":
        done = subprocess.run(
            [sys.executable, *words[1:]], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        made = done.stdout.strip()
    else:
        assert seekable.main(words[3:]) == 0
        made = capsys.readouterr().out.strip()
    assert made.endswith("rows.csv.seekable.zst" if suffix == ".zst" else "rows.csv.zst")
    assert [line for line, _ in lines(made)] == data.decode().splitlines()
    assert seekable.main(words[3:]) == 1
    assert "exists; give another name with --output" in capsys.readouterr().err


def test_a_truncated_file_is_not_converted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = rough(100_000)
    for suffix, pack in ((".xz", lzma.compress), (".bz2", bz2.compress), (".gz", gzip.compress)):
        path = tmp_path / f"rows{suffix}"
        path.write_bytes(pack(data)[:-10])
        assert seekable.main([str(path)]) == 1
        assert "rows" in capsys.readouterr().err
    path = tmp_path / "rows.zst"
    path.write_bytes(pyzstd.compress(data)[:-10])
    assert seekable.main([str(path)]) == 1
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".bz2", ".gz", ".xz", ".zst"]


def test_names_that_say_another_format(tmp_path: Path) -> None:
    for name, message in (
        ("rows.gz", "is not a gzip file: it begins with 61 0a 62 0a; pass compression=None"),
        ("rows.bz2", "has the name of a file compressed by bzip2"),
        ("rows.br", r"brotli -d .*rows\.br"),
        ("rows.ZIP", "unzip"),
    ):
        path = tmp_path / name
        path.write_bytes(b"a\nb\n")
        with pytest.raises(SourceError, match=message):
            next(lines(path))
        assert [line for line, _ in lines(path, compression=None)] == ["a", "b"]
    path = tmp_path / "rows"
    path.write_bytes(b"a\n")
    with pytest.raises(SourceError, match="is not a zstd file"):
        next(lines(path, compression="zstd"))
    wrong: Any = "xz"
    with pytest.raises(SourceError, match="compression='xz'"):
        next(lines(path, compression=wrong))


def test_cursors_beyond_the_end_and_within_a_line(tmp_path: Path) -> None:
    for name, pack in (("rows.gz", gzip.compress), ("rows.zst", zstd)):
        path = tmp_path / name
        path.write_bytes(pack(b"11\n22\n"))
        assert list(lines(path, cursor=6)) == []
        with pytest.raises(CursorError, match=r"cursor 9 is beyond the end of .*\(6 bytes\)"):
            next(lines(path, cursor=9))
        with pytest.raises(CursorError, match="in the middle of a line"):
            next(lines(path, cursor=4))


def test_packages_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "indexed_gzip", None)
    monkeypatch.setitem(sys.modules, "pyzstd", None)
    for name, data, extra in (
        ("rows.gz", gzip.compress(b"a\n"), "gzip"),
        ("rows.zst", zstd(b"a\n"), "zstd"),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(SourceError, match=rf"pip install 'celery-graceful\[{extra}\]'"):
            next(lines(path))


def test_a_connection_that_breaks_is_not_called_wrong_data(tmp_path: Path) -> None:
    class Broken(io.BytesIO):
        reads = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.reads += 1
            if self.reads > 12:
                raise ConnectionError("reset by peer")
            return super().read(size)

    for data in (gzip.compress(rough(1 << 20), 1), zstd(rough(1 << 20), 1 << 16)):
        with pytest.raises(ConnectionError, match="reset by peer"):
            list(lines(partial(Broken, data)))


def test_a_wrong_checksum_of_right_data(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = rough(3 << 20)
    packed = bytearray(gzip.compress(data, 1))
    packed[-8:-4] = zlib.crc32(b"other").to_bytes(4, "little")
    path = tmp_path / "rows.gz"
    path.write_bytes(packed)
    with pytest.raises(SourceError, match=r"checksum|corrupt|decompressed after byte"):
        list(lines(path))
