"""How fast a run is at present: what each of its checkpoints says of the minute before."""

from __future__ import annotations

import time
from dataclasses import replace

from celery_graceful.model.run.cursor import Checkpoint

#: Seconds after which another moment is remembered: what is measured is 30 to 60 seconds long.
EACH = 30.0


class LastMinute:
    """Two moments of one execution, with the items done by then since the run began.

    Args:
        began: when the execution began, in Unix seconds.
        steps: the items done by then.
    """

    __slots__ = ("_older", "_younger")

    def __init__(self, began: float, steps: int) -> None:
        self._older = self._younger = (began, steps)

    def stamp(self, checkpoint: Checkpoint) -> Checkpoint:
        """The checkpoint with its time, and what it was measured from."""
        now, steps = time.time(), checkpoint.steps
        if steps < self._older[1]:  # some are done again
            self._older = self._younger = (now, steps)
        elif now - self._younger[0] >= EACH:
            self._older, self._younger = self._younger, (now, steps)
        since, done = self._older
        return replace(checkpoint, at=now, sampled_at=since, sampled_steps=done)
