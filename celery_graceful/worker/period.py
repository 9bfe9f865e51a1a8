"""The grace period of this worker, found once."""

from __future__ import annotations

import os
from typing import Any

from celery_graceful.runtime import runtime_of
from celery_graceful.stop.grace import Grace
from celery_graceful.stop.surroundings import find_grace

__all__ = ["grace_of"]


def grace_of(worker: Any) -> Grace | None:
    """How long a worker has from the stop signal to SIGKILL; ``None``: nobody knows.

    The first call may take three seconds, since it asks the worker's surroundings.

    Args:
        worker: Celery's worker; the answer is kept on it as ``graceful_grace``.

    Raises:
        SettingsError: the environment variable ``GRACEFUL_GRACE_PERIOD`` is wrong.
    """
    if not hasattr(worker, "graceful_grace"):
        settings = runtime_of(worker.app).settings
        worker.graceful_grace = find_grace(
            settings.grace_period, settings.hand_over_margin, os.environ
        )
    found: Grace | None = worker.graceful_grace
    return found
