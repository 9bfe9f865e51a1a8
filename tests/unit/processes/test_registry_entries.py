"""Files in the registry that no guardian wrote."""

from __future__ import annotations

import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from celery_graceful.processes import registry
from celery_graceful.processes.registry import Entry, decode_entry

GOOD: dict[str, Any] = {
    "tag": "a1",
    "command": "sleep 5",
    "owner": 12,
    "task": "shop.walk",
    "task_id": "1",
    "since": 5.0,
    "stop_signal": 15,
    "grace": 5.0,
}
WRONG: list[dict[str, Any]] = [
    {"tag": None},
    {"tag": ""},
    {"tag": 5},
    {"tag": "x" * 1000},
    {"command": ["sleep"]},
    {"owner": "12"},
    {"owner": -1},
    {"owner": True},
    {"owner": 10**30},
    {"task": None},
    {"since": "now"},
    {"since": math.inf},
    {"since": 10**400},
    {"stop_signal": 0},
    {"stop_signal": -9},
    {"stop_signal": 9.0},
    {"stop_signal": 1000},
    {"grace": -1},
    {"grace": math.nan},
    {"grace": 1e9},
    {"more": 1},
    {"pid": -1},
    {"pid": "7"},
    {"pid": 10**12},
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: repr(wrong)[:24])
def test_what_is_wrong_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_entry(json.dumps({**GOOD, **wrong}))


@pytest.mark.parametrize("text", ["", "null", "[]", "5", "{}", "[" * 200_000, '"x"'])
def test_what_is_no_entry_at_all(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_entry(text)


def test_the_pid_is_written_into_the_same_locked_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    entered = registry.register("a1", "sleep 5", ("shop.walk", "1"), 15, 5.0)
    assert entered is not None
    path, lock = entered
    inode = path.stat().st_ino
    for pid in (1, 4_194_304, 2**31 - 1, 77):
        registry.note_pid(path, pid)
        (entry,) = registry.entries()
        assert (entry.pid, entry.command, path.stat().st_ino) == (pid, "sleep 5", inode)
    path.unlink()
    registry.note_pid(path, 5)
    assert registry.entries() == []
    os.close(lock)


def test_what_is_right_is_read() -> None:
    assert decode_entry(json.dumps(GOOD)) == Entry(**GOOD)
