"""Which fault answers for an item that was done again, and how many it may answer for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.chaos.faults import Fault
from tests.chaos.ledger import Effect
from tests.chaos.recovery import struck
from tests.harness.lately import done_in

#: What a crash may repeat, in checkpoint intervals.
INTERVALS = 1.5
#: For how long a runner that stood still may go on, in checkpoint intervals.
OVERLAP = 1.0
#: A store that is back may be tried again so many seconds later; outages that follow each other
#: as closely are one.
RETRY = 0.5

_STOPS = ("sigterm", "sigterm_group")


@dataclass(frozen=True)
class Repeat:
    """An item that was done again, and the fault that answers for it."""

    first: Effect
    again: Effect
    fault: Fault | None


class Blame:
    """Knows the faults of a chaos run.

    Args:
        faults: all of them, by time.
        lease: ``graceful_lease_ttl`` in seconds.
        flush: the checkpoint interval in seconds.
    """

    def __init__(self, faults: Sequence[Fault], *, lease: float, flush: float) -> None:
        self._faults = faults
        self._lease = lease
        self._flush = flush
        self._away = _outages(faults)

    def repeats(self, effects: Sequence[Effect]) -> Iterator[Repeat]:
        """The items of one run that were done more than once."""
        by_item: dict[int, list[Effect]] = defaultdict(list)
        began: dict[int, float] = {}
        for effect in sorted(effects, key=lambda effect: (effect.fence, effect.at)):
            by_item[effect.item].append(effect)
            began.setdefault(effect.fence, effect.at)
        for executions in by_item.values():
            for first, again in pairwise(executions):
                fault = self._record_vanished(first, again, began[again.fence])
                yield Repeat(first, again, fault or self._answers(first, again))

    def may_repeat(self, fault: Fault, effects: Sequence[Effect]) -> int:
        """How many of the ``effects`` of the executions that a fault cut off it may answer for."""
        if fault.kind == "store_forgets":  # from the checkpoint that the message carried
            return len(effects)
        times = [effect.at for effect in effects]
        lately = done_in(INTERVALS * self._flush, fault.at, times, self._with_store)
        until = fault.until
        if fault.kind == "sigstop_worker":
            until += OVERLAP * self._flush
        elif fault.kind in _STOPS:  # it went on until its execution was done
            until = float("inf")
        return lately + sum(fault.at < at <= until for at in times)

    def _record_vanished(self, first: Effect, again: Effect, began: float) -> Fault | None:
        """A copy of the message found no record before the owner had written it back.

        A limit of the guarantees: one of them gets the run, and items may be repeated.
        """
        if first.fence == again.fence:
            return None
        for fault in self._faults:
            admitted = fault.at <= began <= fault.until + RETRY
            if fault.run == first.run and admitted and first.at <= fault.until + self._flush:
                return fault
        return None

    def _answers(self, first: Effect, again: Effect) -> Fault | None:
        """The fault that cut off the execution that did the item under the lower fence."""
        if first.fence == again.fence:
            return None
        for fault in self._faults:
            overlap = OVERLAP * self._flush if fault.kind == "sigstop_worker" else 0.0
            met = first.at <= fault.until + overlap and fault.at <= max(first.at, again.at)
            if met and struck(fault, first.pid, first.worker):
                return fault
        return self._stop_without_store(first, again)

    def _stop_without_store(self, first: Effect, again: Effect) -> Fault | None:
        """A stop that found no store for a whole lease: its execution cannot save what it did."""
        for fault in self._faults:
            stopped = fault.kind in _STOPS and fault.worker == first.worker
            if stopped and fault.at <= again.at and self._store_is_away_after(fault.at):
                return fault
        return None

    def _store_is_away_after(self, moment: float) -> bool:
        # An execution notices the stop after its item, and an outage after its next write.
        latest = moment + RETRY
        return any(began <= latest and ended >= moment + self._lease for began, ended in self._away)

    def _with_store(self, since: float, until: float) -> float:
        """The seconds between two moments without those in which the store was away."""
        away = sum(max(0.0, min(until, end) - max(since, begin)) for begin, end in self._away)
        return until - since - away


def _outages(faults: Sequence[Fault]) -> list[tuple[float, float]]:
    """When the store was away or had just come back."""
    found: list[tuple[float, float]] = []
    for fault in sorted(faults, key=lambda fault: fault.at):
        if "store" not in fault.kind:
            continue
        if found and fault.at <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], fault.until + RETRY))
        else:
            found.append((fault.at, fault.until + RETRY))
    return found
