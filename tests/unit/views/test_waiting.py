"""Why a run does not move: every state and every cause."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from celery_graceful.model.maintenance.mode import EVERYTHING, Hold, Kind, Mode, Scope
from celery_graceful.runs.plain_run import Run
from celery_graceful.views.waiting import Situation, why_not_moving
from celery_graceful.views.waiting.situation import WorkerNow

NOW = 1_764_511_200.0  # 14:00 UTC
WORKER = WorkerNow("w1@host", "w1@host/a", queues=("exports",), slots=4, running=1)
BUSY = replace(WORKER, running=4)
COMMAND = "celery -A shop graceful"


def run(state: str = "interrupted", **known: Any) -> Run:
    """A run of ``shop.export`` in the queue ``exports``."""
    plain: dict[str, Any] = {
        "task": "shop.export",
        "id": "8f6f2c52",
        "requested": None,
        "reason": "shutdown",
        "steps": 42,
        "total": 100,
        "cursor": 41,
        "carry": {},
        "unreadable": None,
        "quarantined": 0,
        "queue": "exports",
        "worker": "w1@host/a" if state in ("running", "finishing") else None,
        "generation": 1,
        "resumptions": 0,
        "crashes": 0,
        "last_crash": None,
        "republished": 0,
        "unroutable": None,
        "overdue": False,
        "orphaned": False,
        "started_at": NOW - 60,
        "ended_at": None,
        "until": NOW + 20,
        "now": NOW,
    }
    return Run(state=state, **{**plain, **known})


def situation(**known: Any) -> Situation:
    """One worker that consumes ``exports`` and has free slots."""
    return Situation(**{"workers": (WORKER,), "now": NOW, "command": COMMAND, **known})


def hold(**known: Any) -> Mode:
    terms = {"reason": "migration 0042", "who": "ann@ops", "until": NOW + 1800, **known}
    scope = terms.pop("scope", EVERYTHING)
    return Mode(holds=(Hold(scope, since=NOW - 60, **terms),))


HELD = 'held by maintenance "migration 0042" of ann@ops until 14:30:00 UTC'
EXPORTS = Scope(Kind.QUEUE, "exports")
CASES: list[tuple[str, Run, Situation, str]] = [
    ("held", run(), situation(mode=hold()), HELD),
    ("held by its queue", run("queued"), situation(mode=hold(scope=EXPORTS)), HELD),
    (
        "held without an end",
        run(),
        situation(mode=hold(until=None)),
        f'held by maintenance "migration 0042" of ann@ops until {COMMAND} up',
    ),
    (
        "no worker",
        run(),
        situation(workers=()),
        "no worker is there; start one: celery -A shop worker",
    ),
    (
        "nobody consumes its queue",
        run(queue="mail"),
        situation(),
        "no worker consumes its queue mail; start one: celery -A shop worker -Q mail",
    ),
    (
        "no slot",
        run(),
        situation(workers=(BUSY,), lengths={"exports": 313}),
        "it waits for a free slot on queue exports, at most 312 messages ahead:"
        " 4 of 4 are busy on w1@host",
    ),
    (
        "unroutable",
        run(unroutable="w2@host/b got it and does not know its task"),
        situation(),
        "no worker can take its message: w2@host/b got it and does not know its task; it is sent"
        " again every 30 s",
    ),
    (
        "a retry",
        run("retrying", until=NOW + 90),
        situation(),
        "it is retried at 14:01:00 UTC",
    ),
    (
        "its message is lost",
        run(orphaned=True, republished=1),
        situation(),
        "its message is gone, perhaps by a purge: workers have free slots, and none has received"
        f" it; it is sent again at 14:00:20 UTC, or resend it now: {COMMAND} resend 8f6f2c52",
    ),
    (
        "paused",
        run("paused", until=None),
        situation(),
        f"paused by an operator; resume it: {COMMAND} resume 8f6f2c52",
    ),
    (
        "lost",
        run("running", overdue=True),
        situation(),
        "its worker w1@host was lost, or does not reach the store: its lease has expired; another"
        " worker resumes it within 60 s",
    ),
]


@pytest.mark.parametrize(
    ("of", "around", "why"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_the_sentence(of: Run, around: Situation, why: str) -> None:
    assert why_not_moving(of, around) == why


def test_a_run_that_moves_or_has_ended_has_none() -> None:
    for state in ("running", "completed", "failed", "cancelled"):
        assert why_not_moving(run(state), situation()) is None
