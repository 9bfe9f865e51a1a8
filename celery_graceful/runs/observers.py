"""Observers of runs: every change of a run is reported here, for signals, metrics or a history.

An observer is a callable in :attr:`.Runtime.observers`. It is called once for each transition that
was written, by whoever made it: a worker's execution, its main process, a rescuer or an operator.
Checkpoints and renewed leases are no transitions. It runs in the thread that made the change, so
it has to be quick.
"""

from __future__ import annotations

import getpass
import logging
import os
import socket
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from celery.exceptions import SoftTimeLimitExceeded

from celery_graceful.model.run.events import Event
from celery_graceful.model.run.record import Record, RunKey
from celery_graceful.model.run.verdict import Verdict

logger = logging.getLogger("celery_graceful.runs")


class Observed(NamedTuple):
    """One change of a run, as it was written."""

    run: RunKey
    event: Event
    #: ``None``: there was no record.
    before: Record | None
    after: Record
    verdict: Verdict
    why: str
    #: A worker (``host/start``), or the user and host of an operator.
    who: str


class Observer(Protocol):
    """Anything that can be called with a change."""

    def __call__(self, change: Observed, /) -> None:
        """Take note of a change. What it raises is logged, and stops nothing."""


def notify(observers: Sequence[Observer], change: Observed) -> None:
    """Call every observer; one that fails stops neither the run nor the others."""
    for observer in tuple(observers):
        try:
            observer(change)
        except SoftTimeLimitExceeded:  # meant for the task that this thread runs
            raise
        except Exception:
            event = type(change.event).__name__
            logger.exception("%s: observer %r failed at %s", change.run, observer, event)


def user_at_host() -> str:
    """The user and host of this process: who operates, unless somebody else is named."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user without a name
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"{user}@{socket.gethostname()}"
