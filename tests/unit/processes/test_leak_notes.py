"""Notes of what tasks have left behind: for whoever asks later, whatever is in them."""

from __future__ import annotations

import json
import os
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from celery_graceful.processes import registry
from celery_graceful.processes.leaks import notes as leak_notes
from celery_graceful.processes.leaks.notes import Leak, note, notes, prune


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def leak(**said: object) -> Leak:
    made = Leak(time.time(), ("shop.a[1]",), 7, "sleep 600", 0.5, "runs on", "w1@h", "shop")
    return replace(made, **said)  # type: ignore[arg-type]


def test_without_any_nothing_is_made() -> None:
    assert notes("shop") == []
    prune()
    assert registry.is_missing()


def test_they_are_those_of_an_app_and_a_worker_the_latest_first() -> None:
    now = time.time()
    for number, worker in enumerate(("w1@h", "w2@h", "w1@h")):
        note(leak(at=now + number, pid=number, worker=worker))
    note(leak(app="other"))
    assert [each.pid for each in notes("shop")] == [2, 1, 0]
    assert [each.pid for each in notes("shop", "w1@h")] == [2, 0]
    assert registry.is_empty(), "there is nothing to sweep"
    assert registry.entries() == []
    assert registry.sweep() == []
    assert len(notes("shop")) == 3


def test_a_note_is_written_again_with_another_end() -> None:
    name = note(leak(done="is being ended"))
    note(leak(done="killed"), name)
    assert [each.done for each in notes("shop")] == ["killed"]


def test_they_are_short_and_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leak_notes, "MOST", 3)
    for _ in range(5):
        note(leak(command="x" * 100_000, tasks=("y" * 5000,) * 50))
    prune()
    kept = notes("shop")
    assert len(kept) == 3
    assert len(json.dumps(asdict(kept[0]))) < 5000


def test_old_ones_are_forgotten() -> None:
    note(leak(at=time.time() - leak_notes.KEEP - 1))
    assert notes("shop") == []
    folder = registry.folder() / leak_notes.FOLDER
    for path in folder.iterdir():
        os.utime(path, (0, 0))
    prune()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"at": 1}', "null", '{"at": "now"}', "[" * 9000])
def test_what_is_no_note_is_passed_over(text: str) -> None:
    note(leak())
    path = registry.folder() / leak_notes.FOLDER / "wrong.json"
    path.write_text(text)
    path.chmod(0o600)
    assert len(notes("shop")) == 1


def test_a_folder_of_somebody_else_is_not_used() -> None:
    registry.folder().chmod(0o777)
    note(leak())
    assert notes("shop") == []
    prune()
