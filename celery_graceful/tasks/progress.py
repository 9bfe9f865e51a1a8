"""PROGRESS in the result backend: best effort, off the loop's thread, never after the end."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery_graceful.tasks.leg import Progress
    from celery_graceful.tasks.written import RunTask

__all__ = ["STATE", "ProgressReport"]

logger = logging.getLogger("celery_graceful.runs")

#: The state's name; its meta has ``current``, ``total`` and ``percent``.
STATE = "PROGRESS"


class ProgressReport:
    """One leg's reports: at most one on its way, later ones skipped meanwhile."""

    def __init__(self, task: RunTask, request: Any, enabled: bool) -> None:
        own = request.__dict__.get("ignore_result")
        self._enabled = enabled and not (task.ignore_result if own is None else own)
        self._task = task
        self._request = request
        self._writer: threading.Thread | None = None

    def send(self, progress: Progress) -> None:
        """Write the state, unless the last write is still on its way."""
        if not self._enabled or (self._writer is not None and self._writer.is_alive()):
            return
        meta = {
            "current": progress.current,
            "total": progress.total,
            "percent": progress.percent,
        }
        self._writer = threading.Thread(target=self._write, args=(meta,), daemon=True)
        self._writer.start()

    def settle(self) -> None:
        """Wait until nothing is on its way: a late PROGRESS must not overwrite what follows."""
        self._enabled = False
        if self._writer is not None:
            self._writer.join()

    def _write(self, meta: dict[str, Any]) -> None:
        try:
            self._task.backend.store_result(self._request.id, meta, STATE, request=self._request)
        except Exception as exc:
            logger.warning(
                "%s[%s]: progress could not be written: %r", self._task.name, self._request.id, exc
            )
