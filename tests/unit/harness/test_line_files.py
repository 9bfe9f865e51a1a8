"""A file of lines is read while it grows."""

from __future__ import annotations

import json
from pathlib import Path

from tests.chaos.journal import Journal
from tests.harness import Ledger
from tests.harness.line_files import whole_lines


def test_a_line_that_is_being_written_is_not_read_yet(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    assert whole_lines(path) == []
    path.write_bytes(b"")
    assert whole_lines(path) == []
    path.write_bytes('["one"]\n["t\u2028wo", "ü'.encode()[:-1])
    assert whole_lines(path) == ['["one"]']
    path.write_bytes('["one"]\n["t\u2028wo", "ü"]\n'.encode())
    assert whole_lines(path) == ['["one"]', '["t\u2028wo", "ü"]']


def test_a_ledger_and_a_journal_that_grow(tmp_path: Path) -> None:
    ledger, journal = Ledger(tmp_path / "ledger"), Journal(tmp_path / "journal")
    ledger.add("one")
    journal.add("begin", "one")
    for path in (ledger.path, journal.path):
        with path.open("a") as file:
            file.write(json.dumps(["two", 1])[:-1])
    assert ledger.items() == ["one"]
    assert [note.run for note in journal.read()] == ["one"]
