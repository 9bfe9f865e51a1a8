"""Who keeps a ``down`` from being complete: what was seen goes in, what it means comes out."""

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
    unknown,
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
    #: Some of its queues or tasks are held, and others go on.
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
    GONE = "not heard from"

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
    #: The latest that it said; ``None``: nothing that can be read.
    report: Report | None = None
    #: Seconds since then; ``None``: it never did.
    age: float | None = None
    blocks: tuple[Block, ...] = ()
    #: Why the plugin could not start on it; empty when it could.
    failure: str = ""


@dataclass(frozen=True, slots=True)
class BarrierState:
    """All workers at one moment."""

    workers: tuple[WorkerStatus, ...]
    #: Why nobody could be asked over the broker; empty when they could.
    trouble: str = ""

    @property
    def blocks(self) -> tuple[Block, ...]:
        """What is still waited for."""
        return tuple(block for seen in self.workers for block in seen.blocks)

    @property
    def clear(self) -> bool:
        """Whether every live worker that is not forced is paused and runs nothing that is held."""
        return not self.blocks

    @property
    def live(self) -> tuple[WorkerStatus, ...]:
        """The workers that are there."""
        return tuple(seen for seen in self.workers if seen.state is not WorkerState.GONE)

    def in_state(self, state: WorkerState) -> tuple[str, ...]:
        """The names of the workers in this state."""
        return tuple(seen.hostname for seen in self.workers if seen.state is state)


def judge(
    mode: Mode,
    members: Sequence[KnownWorker],
    heard: BrokerReplies,
    *,
    lease: float,
    heartbeat: float,
    queues: Collection[str],
    exempt: Collection[str] = (),
) -> BarrierState:
    """What each worker does under a mode, and what is still waited for.

    Args:
        mode: without what has ended by itself.
        members: what the store knows.
        heard: what workers answered over the broker.
        lease: seconds without a report after which a worker that gives no answer is gone.
        heartbeat: seconds without a report after which another start of the same name may have
            replaced a worker.
        queues: this app's queues, beside those in the reports.
        exempt: queues that go on, for workers that do not say so themselves.
    """
    seen = [_seen(mode, member, members, heard, lease, heartbeat) for member in members]
    found = [worker for worker in seen if worker is not None]
    ours = set(queues).union(*(m.report.queues for m in members if m.report))
    found += [_answered(mode, report, None) for report in unknown(heard.reports, members)]
    # A name that belonged to one that is gone may be that of a stranger by now.
    known = {worker.hostname for worker in found if worker.state is not WorkerState.GONE}
    held = held_by(mode, exempt)
    for host, consumed in heard.consuming.items():
        if host not in known and consumed & ours:
            failure = heard.failures.get(host)
            found.append(
                _failed(held, host, consumed & ours, failure)
                if failure
                else _stranger(held, host, consumed & ours, heard.elsewhere.get(host))
            )
    found = [replace(w, failure=w.report.failure) if w.report else w for w in found]
    return BarrierState(tuple(sorted(found, key=_order)), heard.trouble)


def _order(seen: WorkerStatus) -> tuple[bool, str]:
    return seen.state is WorkerState.GONE, seen.hostname


def _seen(
    mode: Mode,
    member: KnownWorker,
    members: Sequence[KnownWorker],
    heard: BrokerReplies,
    lease: float,
    heartbeat: float,
) -> WorkerStatus | None:
    """A worker of the store; ``None`` for one that is replaced, or gone for long."""
    host, report, age = member.hostname, member.report, member.age
    # Only when it could have answered for itself: it may be alive and share its name.
    replaced = not heard.trouble and is_replaced(
        member, members, heard.reports, heartbeat=heartbeat
    )
    if age <= lease and not replaced:
        if report is None:
            why = "its report cannot be read: another version of this package wrote it"
            return WorkerStatus(host, WorkerState.UNREADABLE, None, age, (Block(host, why),))
        return WorkerStatus(host, _state(mode, report), report, age, _blocks(mode, report))
    answer = answer_of(member, heard.reports)
    if answer is not None:
        return _answered(mode, answer, age)
    if replaced or any(m.hostname == host and m.age < age for m in members):
        return None
    consumed = heard.consuming.get(host)
    there = consumed is not None and not is_of_another(member, consumed, host in heard.elsewhere)
    beats = host in (heard.beating or ())
    if heard.trouble or there or beats:
        said = "it sends heartbeats, and does not answer" if beats else _unasked(heard.trouble)
        said = "it answers over the broker, not for this" if there else said
        why = f"its last report came {age:.0f} s ago, and {said}"
        forced = report is not None and report.forced
        return WorkerStatus(
            host, WorkerState.CUT_OFF, report, age, () if forced else (Block(host, why),)
        )
    return WorkerStatus(host, WorkerState.GONE, report, age) if age <= LISTED_FOR * lease else None


def _unasked(trouble: str) -> str:
    return f"nobody knows whether it is there (broker: {trouble})"


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
    return _paused(held_by(mode, report.exempt), report.queues)


def _paused(held: Held, queues: Iterable[str]) -> WorkerState:
    stands = [held.queue(queue) for queue in queues]
    if all(stands) and (stands or held.everything):
        return WorkerState.PAUSED
    return WorkerState.PARTLY if any(stands) or held.tasks else WorkerState.RUNNING


def _blocks(mode: Mode, report: Report) -> tuple[Block, ...]:
    if report.forced or not mode.down:
        return ()
    host, blocks = report.hostname, []
    if not report.cut_off:  # then it consumes nothing, and reads the mode before it does again
        if report.version < mode.version:
            blocks.append(Block(host, "has not yet heard of it"))
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


def _failed(held: Held, host: str, queues: Collection[str], failure: str) -> WorkerStatus:
    named = _held_queues(held, queues)
    why = f"celery-graceful could not start on it, and it consumes {', '.join(named)}: {failure}"
    return WorkerStatus(
        host, WorkerState.FAILED, blocks=(Block(host, why),) if named else (), failure=failure
    )


def _held_queues(held: Held, queues: Collection[str]) -> list[str]:
    return [q for q in sorted(queues) if held.queue(q) or (held.tasks and q not in held.exempt)]


def _stranger(
    held: Held, host: str, queues: Collection[str], namespace: str | None
) -> WorkerStatus:
    named = _held_queues(held, queues)
    whose = f"for another app ({namespace})" if namespace else "without celery-graceful"
    why = f"runs {whose} and consumes {', '.join(named)}: it knows nothing of this"
    return WorkerStatus(
        host, WorkerState.STRANGER, None, None, (Block(host, why),) if named else ()
    )
