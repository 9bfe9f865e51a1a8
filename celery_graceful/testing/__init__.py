"""For tests of tasks and of stores; nothing is imported before its first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery_graceful.testing.partial_runs import PartialRun, run_until
    from celery_graceful.testing.resumability import assert_resumable
    from celery_graceful.testing.simulated_stop import simulate_stop

__all__ = ["PartialRun", "assert_resumable", "run_until", "simulate_stop"]

# pytest imports this package at its start, through the plugin: it must cost nothing.
_HOMES = {
    "PartialRun": "celery_graceful.testing.partial_runs",
    "assert_resumable": "celery_graceful.testing.resumability",
    "run_until": "celery_graceful.testing.partial_runs",
    "simulate_stop": "celery_graceful.testing.simulated_stop",
}


def __getattr__(name: str) -> Any:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
