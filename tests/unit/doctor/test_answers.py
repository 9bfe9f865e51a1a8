"""What anybody may answer for a worker."""

from __future__ import annotations

import math
from typing import Any

import pytest

from celery_graceful.doctor.facts.running_workers import from_answer

GOOD = {"hostname": "w@h", "slots": 2, "queues": ["a"], "grace": 5.0, "settings": {"a": "b"}}


def test_a_sound_answer() -> None:
    worker = from_answer({"vitals": {**GOOD, "unknown": 1}})
    assert worker is not None
    assert (worker.queues, worker.grace, worker.slots) == (("a",), 5.0, 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hostname": ["w"]},
        {"slots": "two"},
        {"slots": math.inf},
        {"slots": 10**400},
        {"queues": "celery"},
        {"queues": 5},
        {"queues": [1]},
        {"grace": math.nan},
        {"grace": "long"},
        {"grace": -1},
        {"forced": "yes"},
        {"settings": []},
        {"settings": {"a": 1}},
    ],
    ids=lambda wrong: repr(wrong)[:30],
)
def test_what_is_wrong_is_passed_over(wrong: dict[str, Any]) -> None:
    assert from_answer({"vitals": {**GOOD, **wrong}}) is None


@pytest.mark.parametrize("answer", [None, 5, [], "x", {}, {"vitals": None}, {"vitals": []}])
def test_what_is_no_answer(answer: Any) -> None:
    assert from_answer(answer) is None
