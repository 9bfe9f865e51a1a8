"""What a run knows of itself, and what a worker reports of itself, as a store has it."""

from __future__ import annotations

import json
import math

from celery_graceful.maintenance.worker_details import Details, read_details
from celery_graceful.model.run import history
from celery_graceful.model.run_options import RunOptions, checked_tags, read_options
from tests.fuzz.mutate import Mutator
from tests.fuzz.target import Target

PAST = history.with_execution(
    history.with_execution("", history.PastExecution("w@h/1", 1.5, 9.0, 7, "shutdown", "ab", 12)),
    history.PastExecution(None, 1.5, 9.0, 7, "completed"),
)
ACTIONS = history.with_action("", history.Action(1.5, "ann", "pause", "é", "running → paused"))
ERROR = history.error_text(history.RunError("ValueError", "broken", "Traceback …"))
OPTIONS = RunOptions(once="k", keep=5.0, limit=3, by="ann", tags=("a", "é")).text()
DETAILS = {
    "plugin": "0.1", "celery": "5.7", "host": "h", "grace": 5.0, "margin": 1.0, "leak_mode": "off",
    "process_count": 1,
    "processes": [
        {"command": "a", "task": "b", "id": "1", "pid": 5, "owner": 4, "since": 1.5},
    ],
    "leaks": [{"at": 1.5, "tasks": ["a"], "pid": 5, "command": "c", "age": 5.0}],
}  # fmt: skip


def read_past(text: str) -> None:
    for each in history.executions(text):
        assert math.isfinite(each.began)
        assert each.ended is None or math.isfinite(each.ended)
        again = history.executions(history.with_execution("", each))
        assert len(again) == 1


def append(text: str) -> None:
    """Whatever is there, one more is written, and can be read."""
    one = history.Action(1.5, "ann", "pause", "why", "what")
    written = history.with_action(text, one)
    assert history.actions(written)[-1] == one
    assert len(written) <= history.MOST_TEXT


def read_report(given: object) -> None:
    assert isinstance(read_details(given), Details)


def details(mutator: Mutator) -> object:
    name = mutator.pick(list(DETAILS))
    inside = mutator.pick([mutator.value(), [mutator.value()], [{"pid": mutator.value()}]])
    changed = mutator.text([json.dumps(DETAILS)])
    try:
        structure = json.loads(changed)
    except (ValueError, RecursionError):
        structure = mutator.value()
    return mutator.pick([{**DETAILS, name: inside}, structure])


def read_tags(given: object) -> None:
    tags = checked_tags(given)
    assert all(isinstance(tag, str) and tag.strip() for tag in tags)


PAST_TARGETS: dict[str, Target] = {
    "history": Target(read_past, [PAST], (ValueError,)),
    "actions": Target(history.actions, [ACTIONS], (ValueError,)),
    "appended action": Target(append, [ACTIONS]),
    "error": Target(history.error, [ERROR], (ValueError,)),
    "options": Target(read_options, [OPTIONS], (ValueError,)),
    "tags": Target(
        read_tags, refuses=(ValueError,), make=lambda m: m.pick([m.value(), [m.value()]])
    ),
    "worker's details": Target(read_report, make=details),
}
