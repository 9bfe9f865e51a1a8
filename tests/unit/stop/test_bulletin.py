"""A text in shared memory: always read as a whole."""

from __future__ import annotations

import mmap
import struct
import sys
import threading
import time

import pytest

from celery_graceful.stop.bulletin import Bulletin

SIZE = 4096


@pytest.fixture
def bulletin() -> Bulletin:
    return Bulletin(mmap.mmap(-1, SIZE + 64), 64, SIZE)


def test_it_is_empty_at_first(bulletin: Bulletin) -> None:
    assert not bulletin
    assert bulletin.read() == b""


def test_it_tells_what_was_written_last(bulletin: Bulletin) -> None:
    first = bulletin.number
    bulletin.write(b"longer than the next one")
    assert bulletin
    assert bulletin.read() == b"longer than the next one"
    bulletin.write(b"short")
    assert bulletin.read() == b"short"
    assert bulletin.number != first
    bulletin.write(b"")
    assert not bulletin
    assert bulletin.read() == b""


def test_what_is_too_long_is_refused_and_changes_nothing(bulletin: Bulletin) -> None:
    bulletin.write(b"as it was")
    with pytest.raises(ValueError, match="is the most"):
        bulletin.write(b"x" * SIZE)
    assert bulletin.read() == b"as it was"


def test_nobody_reads_half_of_a_text(bulletin: Bulletin) -> None:
    texts = [bytes([65 + number]) * (1000 + number) for number in range(20)]
    stop = threading.Event()
    torn: list[bytes] = []

    def read() -> None:
        while not stop.is_set():
            text = bulletin.read()
            if text and text not in texts:
                torn.append(text)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(3000):
        bulletin.write(texts[number % len(texts)])
    stop.set()
    for reader in readers:
        reader.join()
    assert torn == []


def test_a_writer_that_died_in_between_holds_up_no_reader(bulletin: Bulletin) -> None:
    bulletin.write(b"as it was")
    assert bulletin.read() == b"as it was"
    for _ in range(2):
        number = int.from_bytes(bulletin.number, sys.byteorder)
        bulletin._memory[bulletin._number] = struct.pack("=I", number | 1)
        bulletin._memory[bulletin._text : bulletin._text + 2] = b"XX"
        began = time.process_time()
        assert bulletin.read() == b"as it was"
        assert time.process_time() - began < 1
    bulletin.write(b"the next")
    assert bulletin.read() == b"the next"
    assert int.from_bytes(bulletin.number, sys.byteorder) % 2 == 0


def test_a_reader_that_has_never_read_takes_it_for_empty(bulletin: Bulletin) -> None:
    bulletin._memory[bulletin._number] = struct.pack("=I", 1)
    assert bulletin.read() == b""
