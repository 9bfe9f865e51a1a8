"""Runs and situations, made for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from celery_graceful.model.maintenance.mode import EVERYTHING, Hold, Mode
from celery_graceful.runs.plain_run import Run
from celery_graceful.views.waiting import Situation
from celery_graceful.views.waiting.situation import WorkerNow

#: Store time: 2025-11-30 14:00 UTC.
NOW = 1_764_511_200.0
OWNER = "w1@host/a"
WORKER = WorkerNow("w1@host", OWNER, queues=("exports",), slots=4, running=1)
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
        "worker": OWNER if state in ("running", "finishing") else None,
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
        "percent": 42.0,
    }
    return Run(state=state, **{**plain, **known})


def situation(**known: Any) -> Situation:
    """One worker that consumes ``exports`` and has free slots."""
    return Situation(**{"workers": (WORKER,), "now": NOW, "command": COMMAND, **known})


def held(**known: Any) -> Mode:
    """Everything is held for half an hour."""
    terms = {"reason": "migration 0042", "who": "ann@ops", "until": NOW + 1800, **known}
    scope = terms.pop("scope", EVERYTHING)
    return Mode(holds=(Hold(scope, since=NOW - 60, **terms),))
