"""PROGRESS in the result backend: best effort, off the loop's thread, never after the end."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery_graceful.tasks.leg import Progress
    from celery_graceful.tasks.written import RunTask

__all__ = ["STATE", "ProgressReport"]

logger = logging.getLogger("celery_graceful.runs")

#: The state's name; its meta has ``current``, ``total`` and ``percent``.
STATE = "PROGRESS"


class ProgressReport:
    """One leg's reports: at most one on its way, later ones skipped meanwhile.

    Args:
        task: the leg's task.
        request: the leg's request.
        enabled: whether reports are wanted.
        every: seconds between two reports, at least.
        valid_for: seconds after which a report is not written any more: another leg may have the
            run, and may have ended it.
    """

    def __init__(
        self, task: RunTask, request: Any, enabled: bool, *, every: float, valid_for: float
    ) -> None:
        own = request.__dict__.get("ignore_result")
        self._enabled = enabled and not (task.ignore_result if own is None else own)
        self._task = task
        self._request = request
        self._writer: threading.Thread | None = None
        self._every = every
        self._valid_for = valid_for
        self._next = 0.0

    def send(self, progress: Progress) -> None:
        """Write the state, unless the last write is still on its way."""
        if not self._enabled or (self._writer is not None and self._writer.is_alive()):
            return
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self._every
        meta = {
            "current": progress.current,
            "total": progress.total,
            "percent": progress.percent,
        }
        self._writer = threading.Thread(target=self._write, args=(meta, now), daemon=True)
        self._writer.start()

    def stop(self) -> None:
        """From now on nothing is sent any more; what is on its way stays so."""
        self._enabled = False

    def settle(self, patience: float | None = None) -> None:
        """Wait until nothing is on its way: a late PROGRESS must not overwrite what follows.

        Args:
            patience: seconds after which a run that goes on elsewhere waits no longer. An outcome
                is stored in the same backend, and waits for it anyway: ``None``.
        """
        self.stop()
        if self._writer is None:
            return
        self._writer.join(patience)
        if self._writer.is_alive():
            logger.warning(
                "%s[%s]: the result backend has not taken a PROGRESS within %.0f s; the run does"
                " not wait for it any longer",
                self._task.name,
                self._request.id,
                patience,
            )

    def _write(self, meta: dict[str, Any], saved_at: float) -> None:
        if time.monotonic() > saved_at + self._valid_for:
            return
        try:
            self._task.backend.store_result(self._request.id, meta, STATE, request=self._request)
        except Exception as exc:
            logger.warning(
                "%s[%s]: progress could not be written: %r", self._task.name, self._request.id, exc
            )
