"""How long runs stood still after an execution was cut off, until the next admission."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.chaos.evidence import Evidence
from tests.chaos.faults import Fault
from tests.chaos.journal import Note
from tests.chaos.plan import CHILDREN

#: Kinds after which the runs of the struck processes go on somewhere else.
CRASHES = ("sigkill_child", "sigkill_worker", "sigstop_worker")
_SERVERS = ("store", "broker")
_RESCUED = re.compile(r"Rescued \S+\[(\S+)\]")


@dataclass
class Execution:
    """An execution as the journal tells it; ``until`` is its last sign of life."""

    run: str
    fence: int
    pid: int
    worker: int
    began: float
    until: float
    #: When it handed its run over, if it did.
    left: float | None = None
    done: bool = False


@dataclass(frozen=True)
class Recovery:
    """An execution that was cut off by ``fault`` and the next admission of its run.

    ``seconds`` counts from the strike, or from the end of the last trouble with the store or the
    broker before the admission, and leaves out ``queued``: the time in which all children of
    all workers on duty had an execution, or in which a fault had stopped the process that then
    admitted it.
    """

    run: str
    fault: Fault
    seconds: float
    queued: float
    raw: float


def executions(notes: Iterable[Note]) -> dict[str, list[Execution]]:
    """The executions of each run, by fence."""
    found: dict[tuple[str, int], Execution] = {}
    for note in sorted(notes, key=lambda note: note.at):
        if note.what == "log":
            continue
        execution = found.setdefault(
            (note.run, note.fence),
            Execution(note.run, note.fence, note.pid, note.worker, note.at, note.at),
        )
        execution.until = note.at
        if note.what == "left":
            execution.left = note.at
        execution.done = execution.done or note.what in ("completed", "failed")
    by_run: dict[str, list[Execution]] = defaultdict(list)
    for (run, _), execution in sorted(found.items()):
        by_run[run].append(execution)
    return by_run


def struck(fault: Fault, pid: int, worker: int) -> bool:
    """Whether a fault cut off what ran in a process."""
    if fault.kind == "sigkill_child":
        return pid in fault.pids
    return fault.kind in CRASHES and worker == fault.worker


def _stopped(fault: Fault, execution: Execution) -> bool:
    """Whether a fault stopped the process that an execution was to run in, or its main process."""
    if fault.kind in ("sigstop_main", "sigstop_worker"):
        return execution.worker == fault.worker
    return fault.kind == "sigstop_child" and execution.pid in fault.pids


class Gaps:
    """The gaps between the executions of each run.

    Args:
        evidence: of one chaos run.
        lease: ``graceful_lease_ttl`` in seconds.
    """

    def __init__(self, evidence: Evidence, lease: float) -> None:
        self._faults = evidence.faults
        self._duties = evidence.duties
        self._lease = lease
        self._runs = executions(evidence.notes)
        self._executions = [execution for run in self._runs.values() for execution in run]
        self._rescues: dict[str, list[float]] = defaultdict(list)
        for note in evidence.notes:
            if found := _RESCUED.search(note.text):
                self._rescues[found[1]].append(note.at)

    def recoveries(self) -> Iterator[Recovery]:
        """Those of executions that were cut off."""
        for one, next_ in self._pairs():
            fault = self._cut_off_by(one, next_)
            if fault is not None:
                quick = fault.kind == "sigkill_child"  # released and requeued at once
                gap = self._measure(next_, fault.at, 0 if quick else self._lease)
                yield Recovery(one.run, fault, *gap)

    def hand_overs(self) -> Iterator[float]:
        """Seconds from an execution's hand-over to the next admission, counted like recoveries."""
        for one, next_ in self._pairs():
            if one.left is not None and self._cut_off_by(one, next_) is None:
                yield self._measure(next_, one.left, 0)[0]

    def _pairs(self) -> Iterator[tuple[Execution, Execution]]:
        for run in self._runs.values():
            yield from pairwise(run)

    def _cut_off_by(self, execution: Execution, next_: Execution) -> Fault | None:
        for fault in self._faults:
            here = execution.began <= fault.at < next_.began
            if (
                here
                and (execution.left is None or fault.at < execution.left)
                and struck(fault, execution.pid, execution.worker)
            ):
                return fault
        return None

    def _measure(
        self, next_: Execution, began: float, unpublished: float
    ) -> tuple[float, float, float]:
        """What counts, what was spent in the queue, and all of it.

        A message is in the queue once it was rescued, at the latest ``unpublished`` seconds after
        what cut off its execution: then the broker's own copy may be admitted.
        """
        since, ended = began, next_.began
        for fault in self._faults:
            of_a_server = any(name in fault.kind for name in _SERVERS)
            if of_a_server and since < fault.until and fault.at < ended:
                since = min(fault.until, ended)
        rescued = [at for at in self._rescues[next_.run] if began <= at <= ended]
        published = max(since, min([*rescued, began + unpublished]))
        queued = self._waited(min(published, ended), next_)
        return ended - since - queued, queued, ended - began

    def _waited(self, since: float, next_: Execution) -> float:
        """For how long no child that could take a message was free, or its taker was stopped."""
        until = next_.began
        stops = [(fault.at, fault.until) for fault in self._faults if _stopped(fault, next_)]
        moments = {since, until}
        spans = ((execution.began, execution.until) for execution in self._executions)
        for span in (*spans, *self._duty_spans(), *stops):
            moments.update(moment for moment in span if since < moment < until)
        waited = 0.0
        for one, after in pairwise(sorted(moments)):
            stopped = any(began <= one < ended for began, ended in stops)
            if stopped or self._all_busy(one):
                waited += after - one
        return waited

    def _all_busy(self, moment: float) -> bool:
        able = [duty.worker for duty in self._duties if duty.since <= moment < duty.until]
        running = sum(
            execution.worker in able and execution.began <= moment < execution.until
            for execution in self._executions
        )
        return running >= CHILDREN * len(able)

    def _duty_spans(self) -> Iterator[tuple[float, float]]:
        for duty in self._duties:
            yield duty.since, duty.until


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not below ``share`` of them (nearest rank); 0 for none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0
