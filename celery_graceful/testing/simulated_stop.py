"""``simulate_stop``: a worker that stops, as the code of a task sees it."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from celery_graceful.model.run.reasons import StopReason
from celery_graceful.stop import flag


class _LateFlag(flag.StopFlag):
    """A flag that is raised after it was read a number of times."""

    def __init__(self, reason: StopReason, after: int) -> None:
        super().__init__(mmap.mmap(-1, flag.SIZE), os.getpid(), "test")
        self._reason = reason
        self._reads_left = after

    @property
    def stop(self) -> flag.Stop | None:
        if self._reads_left:
            self._reads_left -= 1
            return None
        self.raise_(self._reason)
        return super().stop


@contextmanager
def simulate_stop(
    reason: str = StopReason.SHUTDOWN, *, after: int = 0, time_left: float | None = None
) -> Iterator[None]:
    """Within this block the worker is about to stop: ``stopping()`` returns ``reason``.

    ``sleep()`` returns early. Of eager tasks and direct calls, ``GracefulTask.continue_as`` runs
    the next execution at once, which sees no stop. Iterable tasks called this way run to
    their end, as always; interrupt them with :func:`~celery_graceful.testing.run_until`.

    Args:
        reason: ``"shutdown"`` or ``"maintenance"``.
        after: how many calls of ``stopping()`` still return ``None``; ``sleep()`` makes several.
        time_left: seconds from now until the worker is killed, for ``time_left()``.

    Raises:
        ValueError: no worker stops for this reason, or ``after`` is negative.
    """
    known = (StopReason.SHUTDOWN, StopReason.MAINTENANCE)
    if reason not in known:
        raise ValueError(f"a worker stops for {' or '.join(known)}, not for {reason!r}")
    if after < 0:
        raise ValueError(f"after is a number of calls, 0 or more, not {after}")
    late = _LateFlag(StopReason(reason), after)
    if time_left is not None:
        late.set_deadline(time.monotonic() + time_left)
    if not after:
        late.raise_(StopReason(reason))
    with flag.lent(late):
        yield
