"""Who keeps a ``down`` from being complete: what is known goes in, what it means comes out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from celery_graceful.maintenance.broker_replies import BrokerReplies
from celery_graceful.maintenance.workers import (
    LISTED_FOR,
    KnownWorker,
    Report,
    answer_of,
    is_of_another,
    is_replaced,
    not_known,
)
from celery_graceful.model.maintenance.held import Held, held_by
from celery_graceful.model.maintenance.mode import Mode
from celery_graceful.text.counting import counted


class WorkerState(str, Enum):
    """What a worker does, in the words of ``graceful status``."""

    RUNNING = "running"
    #: Nothing is held any more, and it does not know yet.
    RESUMING = "resuming"
    PAUSING = "pausing"
    PAUSED = "paused"
    #: Some of its queues or tasks are held, and others continue.
    PARTLY = "partly paused"
    FORCED = "forced"
    #: It answers over the broker and does not reach the store.
    CUT_OFF = "cut off"
    UNREADABLE = "unreadable"
    #: It consumes queues of this app without the plugin.
    STRANGER = "without the plugin"
    #: The plugin could not start on it: it knows nothing of maintenance.
    FAILED = "plugin failed"
    #: No report for a whole lease, and no answer over the broker.
    GONE = "gone"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Block:
    """One reason why a ``down`` is not complete."""

    worker: str
    why: str
    #: The task that still runs, if that is the reason.
    task: str = ""
    id: str = ""
    #: How long it has run.
    seconds: float | None = None

    def __str__(self) -> str:
        return f"{self.worker}: {self.why}"


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker, and what keeps it from being paused."""

    hostname: str
    state: WorkerState
    #: Its latest report; ``None``: none that can be read.
    report: Report | None = None
    #: Seconds since then; ``None``: it never reported to the store.
    age: float | None = None
    blocks: tuple[Block, ...] = ()
    #: Why the plugin could not start on it; empty when it could.
    failure: str = ""


@dataclass(frozen=True, slots=True)
class BarrierState:
    """All workers at one moment."""

    workers: tuple[WorkerStatus, ...]
    #: Why workers could not be asked over the broker; empty when they could.
    trouble: str = ""

    @property
    def blocks(self) -> tuple[Block, ...]:
        """What is still waited for."""
        return tuple(block for worker in self.workers for block in worker.blocks)

    @property
    def clear(self) -> bool:
        """Whether every live worker that is not forced is paused and runs nothing that is held."""
        return not self.blocks

    @property
    def live(self) -> tuple[WorkerStatus, ...]:
        """The workers that are there."""
        return tuple(w for w in self.workers if w.state is not WorkerState.GONE)

    def in_state(self, state: WorkerState) -> tuple[str, ...]:
        """The names of the workers in this state."""
        return tuple(worker.hostname for worker in self.workers if worker.state is state)


def judge(
    mode: Mode,
    known: Sequence[KnownWorker],
    replies: BrokerReplies,
    *,
    lease: float,
    heartbeat: float,
    queues: Collection[str],
    exempt: Collection[str] = (),
) -> BarrierState:
    """What each worker does under a mode, and what is still waited for.

    Args:
        mode: without what has ended by itself.
        known: the workers that the store knows of.
        replies: what workers answered over the broker.
        lease: seconds without a report after which a worker that gives no answer is gone.
        heartbeat: seconds without a report after which another start of the same name may have
            replaced a worker.
        queues: this app's queues, beside those in the reports.
        exempt: queues that are never held, for workers that do not say so themselves.
    """
    judged = [_judged(mode, worker, known, replies, lease, heartbeat) for worker in known]
    found = [worker for worker in judged if worker is not None]
    found += [_answered(mode, report, None) for report in not_known(replies.reports, known)]
    # A name that belonged to one that is gone may be that of a stranger by now.
    hosts = {worker.hostname for worker in found if worker.state is not WorkerState.GONE}
    ours = set(queues).union(*(w.report.queues for w in known if w.report))
    held = held_by(mode, exempt)
    found += [
        _without_plugin(held, host, consumed & ours, replies)
        for host, consumed in replies.consuming.items()
        if host not in hosts and consumed & ours
    ]
    found = [replace(w, failure=w.report.failure) if w.report else w for w in found]
    found.sort(key=lambda worker: (worker.state is WorkerState.GONE, worker.hostname))
    return BarrierState(tuple(found), replies.trouble)


def _judged(
    mode: Mode,
    worker: KnownWorker,
    known: Sequence[KnownWorker],
    replies: BrokerReplies,
    lease: float,
    heartbeat: float,
) -> WorkerStatus | None:
    """A worker of the store; ``None`` for one that is replaced, or gone for long."""
    host, report, age = worker.hostname, worker.report, worker.age
    # Only when it could have answered for itself: it may be alive and share its name.
    replaced = not replies.trouble and is_replaced(
        worker, known, replies.reports, heartbeat=heartbeat
    )
    if age <= lease and not replaced:
        if report is None:
            why = "its report cannot be read: another version of this package wrote it"
            return WorkerStatus(host, WorkerState.UNREADABLE, None, age, (Block(host, why),))
        return WorkerStatus(host, _state(mode, report), report, age, _blocks(mode, report))
    answer = answer_of(worker, replies.reports)
    if answer is not None:
        return _answered(mode, answer, age)
    if replaced or any(w.hostname == host and w.age < age for w in known):
        return None
    doubt = _doubt(worker, replies)
    if doubt:
        why = f"its last report came {age:.0f} s ago, and {doubt}"
        blocks = () if report is not None and report.forced else (Block(host, why),)
        return WorkerStatus(host, WorkerState.CUT_OFF, report, age, blocks)
    return WorkerStatus(host, WorkerState.GONE, report, age) if age <= LISTED_FOR * lease else None


def _doubt(worker: KnownWorker, replies: BrokerReplies) -> str:
    """Why a worker that is silent may still be there; empty when it is surely gone."""
    host = worker.hostname
    consumed = replies.consuming.get(host)
    if consumed is not None and not is_of_another(worker, consumed, host in replies.elsewhere):
        return "it answers over the broker, not for this"
    if host in (replies.beating or ()):
        return "it sends heartbeats, and does not answer"
    if replies.trouble:
        return f"it is unknown whether it is there (broker: {replies.trouble})"
    return ""


def _answered(mode: Mode, report: Report, age: float | None) -> WorkerStatus:
    state = WorkerState.FORCED if report.forced else WorkerState.CUT_OFF
    return WorkerStatus(report.hostname, state, report, age, _blocks(mode, report))


def _state(mode: Mode, report: Report) -> WorkerState:
    if report.forced:
        return WorkerState.FORCED
    if report.cut_off:
        return WorkerState.CUT_OFF
    if not mode.down:
        return WorkerState.RUNNING if report.version >= mode.version else WorkerState.RESUMING
    if _blocks(mode, report):
        return WorkerState.PAUSING
    held = held_by(mode, report.exempt)
    paused = [held.queue(queue) for queue in report.queues]
    if all(paused) and (paused or held.everything):
        return WorkerState.PAUSED
    return WorkerState.PARTLY if any(paused) or held.tasks else WorkerState.RUNNING


def _blocks(mode: Mode, report: Report) -> tuple[Block, ...]:
    if report.forced or not mode.down:
        return ()
    host, blocks = report.hostname, []
    if not report.cut_off:  # then it consumes nothing, and reads the mode before it does again
        if report.version < mode.version:
            blocks.append(Block(host, "does not know of it yet"))
        elif not report.paused:
            blocks.append(Block(host, "has not yet stopped consuming"))
    return (*blocks, *_busy(held_by(mode, report.exempt), report))


def _busy(held: Held, report: Report) -> Iterable[Block]:
    host = report.hostname
    for busy in report.busy:
        if held.covers(busy.task, busy.queue):
            why = f"{busy.task}[{busy.id}] has run for {busy.seconds:.1f} s"
            yield Block(host, why, busy.task, busy.id, busy.seconds)
    more = report.busy_count - len(report.busy)
    if more > 0:
        yield Block(host, f"runs {counted(more, 'task')} that it does not name")


def _without_plugin(
    held: Held, host: str, queues: Collection[str], replies: BrokerReplies
) -> WorkerStatus:
    """A worker that does not follow the mode."""
    named = [q for q in sorted(queues) if held.queue(q) or (held.tasks and q not in held.exempt)]
    failure, namespace = replies.failures.get(host, ""), replies.elsewhere.get(host)
    consumes = f"consumes {', '.join(named)}"
    if failure:
        why = f"celery-graceful could not start on it, and it {consumes}: {failure}"
    elif namespace:
        why = f"runs for another app ({namespace}) and {consumes}: it does not follow this mode"
    else:
        why = f"runs without celery-graceful and {consumes}: it does not follow this mode"
    state = WorkerState.FAILED if failure else WorkerState.STRANGER
    blocks = (Block(host, why),) if named else ()
    return WorkerStatus(host, state, blocks=blocks, failure=failure)
