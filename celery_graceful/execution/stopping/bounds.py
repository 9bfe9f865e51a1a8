"""Where a run was asked to pause or to end, counted in items: exactly there.

Nothing is counted per item: the loop's fuse is cut to the number of items that are left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from celery_graceful.execution.loop import Interrupted, LimitReached
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.text.counting import counted

if TYPE_CHECKING:
    from celery_graceful.execution.execution import Execution
    from celery_graceful.model.run_options import RunOptions


class Bounds:
    """The bounds of one execution's run.

    Args:
        options: what its run was asked at its start.
        paused_at: the items done when the run last paused itself; 0: it has not.
    """

    def __init__(
        self, execution: Execution, options: RunOptions, paused_at: Callable[[], int]
    ) -> None:
        self._execution = execution
        self._pause_after, self._limit = options.pause_after, options.limit
        self._paused_at = paused_at

    @property
    def pauses(self) -> str:
        """Why the run pauses itself here, for people; empty: it does not."""
        after = self._pause_after
        if not after or self._execution.steps != after or self._paused_at() == after:
            return ""
        items = counted(after, "item")
        return f"paused after {items} as asked at its start; resume to continue"

    def look(self) -> None:
        """Between two items: end the loop where the run has to, and no later.

        Raises:
            Interrupted: the run pauses here.
            LimitReached: it ends here.
        """
        execution = self._execution
        if 0 < self._limit <= execution.steps:
            raise LimitReached
        if self.pauses:
            raise Interrupted(StopReason.PAUSED)
        left = [
            bound - execution.steps
            for bound in (self._limit, self._pause_after)
            if bound > execution.steps
        ]
        if left:  # cut and not made anew: a fuse that has blown meanwhile stays so
            del execution.fuse[min(left) :]
