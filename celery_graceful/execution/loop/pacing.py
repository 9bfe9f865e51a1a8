"""What follows from how long an execution's items take: when to leave, how large batches are."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from kombu.utils.encoding import safe_repr

from celery_graceful._celery.threads.greenlets import loop_here, run_in_own_thread
from celery_graceful.durations import format_seconds
from celery_graceful.execution.execution import Execution
from celery_graceful.execution.loop.ticker import TICK
from celery_graceful.execution.stopping.limits import ExecutionOptions
from celery_graceful.model import pace as decisions
from celery_graceful.model.run.record import RunKey
from celery_graceful.stop.flag import StopFlag
from celery_graceful.text.counting import counted

logger = logging.getLogger("celery_graceful.runs")

#: What a batch may take of the time that tasks have at a stop.
PART_FOR_BATCH = 0.2
#: The tasks that this process has warned of, by kind of warning.
_warned: set[tuple[str, str]] = set()


class Pacing:
    """Watches one execution's items.

    Args:
        execution: the execution; its history is replaced when it goes back to another checkpoint.
        options: what bounds the execution.
        run: its run, for logs.
    """

    def __init__(
        self, execution: Execution, flag: StopFlag, options: ExecutionOptions, run: RunKey
    ) -> None:
        self._execution = execution
        self._flag = flag
        self._options = options
        self._run = run
        self._sampler = Sampler(execution.pace)
        self._loop: Any = None
        self._began = time.monotonic()
        #: Items in a batch, as an operator has adjusted it; 0: as the source says.
        self.adjusted_batch = 0
        self._batches = decisions.Pace()
        self._batches_done = 0
        self._batch_began = 0.0
        #: What the ticker has to do to the execution's history, which it is writing.
        self._scales: list[float] = []

    def enter(self) -> None:
        """The execution begins, in the thread that runs it."""
        self._loop = loop_here()
        options, need = self._options, self._execution.pace.need
        limit = options.max_execution_time or options.time_limit
        if limit and need > limit:
            self._warn(
                "limit",
                "its items take up to %s, longer than an execution may run (%s). Each execution "
                "tries one all the same; make the items smaller, or give an execution more time.",
                format_seconds(round(need, 1)),
                format_seconds(limit),
            )

    # -- the ticker thread ------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """See where the loop stands; warn of an item that no stop could wait for."""
        stand = self._execution.stand
        self._sampler.pace = self._execution.pace
        while self._scales:
            self._execution.pace.scale(self._scales.pop())
        self._sampler.observe(now, None if stand is None else stand.begun)
        period = self._flag.for_tasks
        if period is None or self._flag.raised:
            return
        age, usual = self._sampler.age(now), self._execution.pace.need
        if max(age, usual) > period and ("grace", self._execution.task.name) not in _warned:
            _warned.add(("grace", self._execution.task.name))  # first: to say it may fail
            warn = self._warning(stand.begun if stand is not None else 0, age, usual, period)
            run_in_own_thread(warn, "celery-graceful-warning", self._loop)

    def _warning(self, number: int, age: float, usual: float, period: float) -> Callable[[], None]:
        execution = self._execution
        cursor = safe_repr(execution.cursor)[:200]
        what = (
            f"an item after cursor {cursor} (item {number} of this execution) has run for"
            f" {age:.1f} s"
            if age > period
            else f"items take up to {usual:.1f} s (at cursor {cursor})"
        )
        return lambda: logger.warning(
            "%s: %s, and a stop leaves tasks %s: at a deploy the item would be cut off and begin "
            "again elsewhere. Make the items smaller, or the grace period longer.",
            self._run,
            what,
            format_seconds(round(period, 1)),
        )

    # -- deadlines --------------------------------------------------------------------------

    def overruns(self, now: float) -> bool:
        """Whether an item that begins at ``now`` would not end before the execution has to."""
        options, need = self._options, self._execution.pace.need
        longest, limit = options.max_execution_time, options.time_limit
        over = longest and now + need >= self._began + longest
        return bool(over or (limit and need and now + need >= self._began + limit))

    def left_early(self, now: float, items: int) -> None:
        """The execution leaves at ``now`` after so many items, perhaps before any tick.

        Their time is added here, or one slow item would make every later execution end after a
        single item. The ticker may add at the same moment; one item more or less does no harm.
        """
        took = now - self._began
        if took < 2 * TICK:
            self._execution.pace.add(took / items, items)

    def may_overrun(self, now: float) -> bool:
        """The same for an item that begins before the next tick."""
        return self.overruns(now + TICK)

    def would_be_cut(self, now: float) -> bool:
        """Whether an item that begins at ``now`` would be cut off by the stopping worker."""
        cut, need = self._flag.cut, self._execution.pace.need
        return self._flag.raised and cut is not None and need > 0 and now + need > cut

    # -- batches ----------------------------------------------------------------------------

    @property
    def batch_time(self) -> float | None:
        """What a batch may take, in seconds, if that is known."""
        period = self._flag.for_tasks
        return None if period is None else PART_FOR_BATCH * period

    def batch_size(self, wanted: int) -> int:
        """How many items the next batch gets; ``sources.batches`` asks before each."""
        execution, most, now = self._execution, self.batch_time, time.monotonic()
        wanted = self.adjusted_batch or wanted
        size = min(wanted, execution.batch or wanted)
        if most is None:
            return size
        if self._batch_began:
            self._batches.add(now - self._batch_began)
            self._batches_done += 1
        self._batch_began = now
        took = self._batches.p95
        new = size
        while decisions.fewer(new, took * new / size, most):
            new //= 2
        if new == size and decisions.more(size, wanted, took, most, self._batches_done):
            new = min(wanted, 2 * size)
        if new != size:
            self._resize(size, new, took)
        execution.batch = new if new < wanted else 0
        return new

    def _resize(self, size: int, new: int, took: float) -> None:
        self._batches.scale(new / size)
        self._scales.append(new / size)
        self._batches_done = 0
        if new < size:
            logger.info(
                "%s: batches of %s take up to %.1f s, more than a fifth of what a stop leaves"
                " tasks; they get %d from now on",
                self._run,
                counted(size, "item"),
                took,
                new,
            )

    def _warn(self, what: str, text: str, *details: Any) -> None:
        name = self._execution.task.name
        if (what, name) not in _warned:
            _warned.add((what, name))
            logger.warning("%s: " + text, self._run, *details)


class Sampler:
    """Turns positions of a loop into durations of items.

    An item that lasts for several looks is seen by itself, as exactly as looks are frequent; of
    many that pass between two looks only the average is known.

    Args:
        pace: where durations go.
    """

    def __init__(self, pace: decisions.Pace) -> None:
        #: Where durations go.
        self.pace = pace
        self._begun: int | None = None
        #: When the item under way was seen first, and last.
        self._first = self._last = 0.0

    def observe(self, now: float, begun: int | None) -> None:
        """The loop has begun its ``begun``-th item at ``now`` (monotonic seconds).

        ``None``: it stands still between two items.
        """
        before, self._begun = self._begun, begun or None
        if not begun or before is None or begun < before:
            if before is not None and not begun:
                self.pace.add(now - self._first)
            self._first = self._last = now
        elif begun == before:
            self._last = now
        else:
            self._ended(now, begun - before)
            self._first = self._last = now

    def age(self, now: float) -> float:
        """How long the item under way has lasted, in seconds."""
        return now - self._first if self._begun is not None else 0.0

    def _ended(self, now: float, items: int) -> None:
        each = (now - self._last) / items
        self.pace.add(self._last - self._first + each)
        if items > 1:
            self.pace.add(each, items - 1)
