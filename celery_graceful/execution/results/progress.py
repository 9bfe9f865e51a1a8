"""PROGRESS in the result backend: best effort, off the loop's thread, never after the end."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from celery_graceful._celery.task import backends
from celery_graceful.execution.results.state_writer import Slot, state_writer

if TYPE_CHECKING:
    from celery_graceful.execution.run_task import RunTask
    from celery_graceful.model.run_progress import Progress

logger = logging.getLogger("celery_graceful.runs")

#: The state's name; its meta has ``current``, ``total`` and ``percent``.
STATE = "PROGRESS"
_META = ("current", "total", "percent")


class ProgressReport:
    """One execution's reports: a newer one replaces one that the writer has not begun.

    Args:
        task: the execution's task.
        enabled: whether reports are wanted.
        every: seconds between two reports, at least.
        valid_for: seconds after which a report is not written any more: another execution may have
        the
            run, and may have ended it.
    """

    def __init__(
        self, task: RunTask, request: Any, enabled: bool, *, every: float, valid_for: float
    ) -> None:
        self._wanted = self._enabled = enabled
        self._task = task
        self._request = request
        self._slot: Slot | None = None
        #: Seconds between two reports, at least.
        self.every = every
        self._valid_for = valid_for
        self._next = 0.0

    def send(self, progress: Progress) -> None:
        """Have the state written, unless the last one is recent or nobody counts."""
        if not self._enabled or progress.total is None:
            return
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self.every
        if self._slot is None:
            if self._is_ignored():
                self._enabled = False
                return
            self._slot = Slot()
        meta = {name: getattr(progress, name) for name in _META}
        state_writer().put(self._slot, lambda: self._write(meta, now))

    def stop(self) -> None:
        """From now on nothing is sent any more; what is on its way stays so."""
        self._enabled = False

    def resume(self) -> None:
        """The execution continues after all: send again what is wanted."""
        self._enabled = self._wanted

    def settle(self, patience: float | None = None) -> None:
        """Wait until nothing is on its way: a late PROGRESS must not overwrite what follows.

        Args:
            patience: seconds after which a run that continues elsewhere waits no longer. An outcome
                is stored in the same backend, and waits for it anyway: ``None``. Then what the
                writer has not begun is dropped, as the outcome replaces it.
        """
        self.stop()
        if self._slot is None:
            return
        writer = state_writer()
        if patience is None:
            writer.drop(self._slot)
        if writer.wait(self._slot, patience):
            return
        writer.drop(self._slot)
        logger.warning(
            "%s[%s]: the result backend has not taken a PROGRESS within %.0f s; the run does"
            " not wait for it any longer",
            self._task.name,
            self._request.id,
            patience,
        )

    def _is_ignored(self) -> bool:
        own = self._request.__dict__.get("ignore_result")
        return bool(self._task.ignore_result if own is None else own)

    def _write(self, meta: dict[str, Any], saved_at: float) -> None:
        if time.monotonic() > saved_at + self._valid_for:
            return
        try:
            backend = backends.backend_of(self._task)
            there, result = backends.state_of(backend, self._request.id)
            if _may_replace(there, result):
                backend.store_result(self._request.id, meta, STATE, request=self._request)
        except Exception as exc:
            backends.recover(exc)
            logger.warning(
                "%s[%s]: progress could not be written: %r", self._task.name, self._request.id, exc
            )


def _may_replace(state: str | None, result: Any) -> bool:
    """Whether a state is one of the plugin's or of Celery's before the end."""
    if state == STATE:  # the task may set a PROGRESS of its own
        return isinstance(result, dict) and sorted(result) == sorted(_META)
    return backends.may_be_replaced(state)
