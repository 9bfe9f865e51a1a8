"""Why a run waits for its next execution: conditions in the order in which they decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from celery_graceful.text.counting import counted
from celery_graceful.views.waiting.wording import (
    command,
    held_words,
    moment,
    names,
    shown,
    start_worker,
)

if TYPE_CHECKING:
    from celery_graceful.runs.plain_run import Run
    from celery_graceful.views.waiting.situation import Situation, WorkerNow


def pending(run: Run, situation: Situation) -> str:
    """Of a run whose message is on its way, or should be."""
    found = next(filter(None, (look(run, situation) for look in _CONDITIONS)), None)
    return found or _on_its_way(run, situation)


def _unroutable(run: Run, situation: Situation) -> str | None:
    if not run.unroutable:
        return None
    again = f"it is sent again every {situation.lease:g} s"
    return f"no worker can take its message: {shown(run.unroutable, 300)}; {again}"


def _without_message(run: Run, situation: Situation) -> str | None:
    if run.queue is not None:
        return None
    return (
        "its record has no message that can be read, so nobody can send it; cancel it"
        f"{command(situation, 'cancel', run)}, and start the task anew"
    )


def _held(run: Run, situation: Situation) -> str | None:
    queue = situation.queue_of(run) or ""
    holds = situation.holds_on(run.task, queue)
    if not holds or any(worker.forced for worker in situation.consumers(queue)):
        return None
    due = _retry_at(run, situation)
    last = max((hold.until or float("inf") for hold in holds), default=0.0)
    return None if due is not None and last <= due else held_words(holds, situation)


def _mode_unknown(run: Run, situation: Situation) -> str | None:
    if not situation.trouble:
        return None
    return f"whether maintenance holds it is not known: {shown(situation.trouble, 300)}"


def _retry(run: Run, situation: Situation) -> str | None:
    due = _retry_at(run, situation)
    if due is None or due <= run.now:
        return None
    error = run.error
    after = f", after {shown(f'{error.type}: {error.message}')}" if error is not None else ""
    return f"it is retried at {moment(due, run.now)}{after}"


def _retry_at(run: Run, situation: Situation) -> float | None:
    """When a retry is due: its message is sent again one lease later."""
    if run.state != "retrying" or run.until is None:
        return None
    return run.until - situation.lease


def _no_worker(run: Run, situation: Situation) -> str | None:
    return None if situation.workers else f"no worker is there; {start_worker(situation)}"


def _not_consumed(run: Run, situation: Situation) -> str | None:
    queue = situation.queue_of(run) or ""
    if situation.consumers(queue):
        return None
    return f"no worker consumes its queue {shown(queue, 100)}; {start_worker(situation, queue)}"


def _no_taker(run: Run, situation: Situation) -> str | None:
    """All workers that consume its queue are there, and none of them begins runs."""
    consumers = situation.consumers(situation.queue_of(run) or "")
    if any(worker.takes_runs for worker in consumers):
        return None
    causes: tuple[tuple[str, Callable[[WorkerNow], object]], ...] = (
        ("its plugin could not start, see status", lambda worker: worker.failure),
        ("cut off from the store", lambda worker: worker.cut_off),
        ("stopping", lambda worker: worker.stopping),
    )
    for what, test in causes:
        concerned = [worker.hostname for worker in consumers if test(worker)]
        if concerned:
            queue = shown(situation.queue_of(run) or "", 100)
            return f"no worker takes runs from its queue {queue} now: {what} ({names(concerned)})"
    return None


def _unknown_task(run: Run, situation: Situation) -> str | None:
    if not situation.tasks or run.task in situation.tasks:
        return None
    return (
        f"the app has no task {shown(run.task)} here: if its workers have none either, deploy the"
        " code that has it"
    )


def _no_slot(run: Run, situation: Situation) -> str | None:
    queue = situation.queue_of(run) or ""
    takers = [worker for worker in situation.consumers(queue) if worker.takes_runs]
    slots, busy = _slots(takers)
    if busy < slots:
        return None
    place = f"queue {shown(queue, 100)}{_ahead(queue, situation)}"
    hosts = names(worker.hostname for worker in takers)
    return f"it waits for a free slot on {place}: {busy} of {slots} are busy on {hosts}"


def _slots(workers: Sequence[WorkerNow]) -> tuple[int, int]:
    slots = sum(worker.slots for worker in workers)
    return slots, sum(min(worker.running, worker.slots) for worker in workers)


def _ramp(run: Run, situation: Situation) -> str | None:
    ramp = situation.mode.ramp
    if ramp is None or situation.now >= ramp.until:
        return None
    until = moment(ramp.until, situation.now)
    queue = situation.queue_of(run) or ""
    return f"work resumes slowly after maintenance, until {until}{_ahead(queue, situation)}"


def _orphaned(run: Run, situation: Situation) -> str | None:
    if not run.orphaned or situation.lengths.get(situation.queue_of(run) or ""):
        return None
    when = "soon" if run.overdue or run.until is None else f"at {moment(run.until, run.now)}"
    return (
        "its message is gone, perhaps by a purge: workers have free slots, and none has received"
        f" it; it is sent again {when}, or resend it now{command(situation, 'resend', run)}"
    )


def _ahead(queue: str, situation: Situation) -> str:
    """How many messages may be in front; its own is among those of the queue."""
    length = situation.lengths.get(queue)
    if not length:
        return ""
    if length == 1:
        return ", next in the queue"
    return f", at most {counted(length - 1, 'message')} ahead"


def _on_its_way(run: Run, situation: Situation) -> str:
    queue = situation.queue_of(run) or ""
    sent = "was sent, and no worker has begun it" if run.state == "queued" else "is on its way"
    again = f"; it is sent again at {moment(run.until, run.now)}" if run.until else ""
    return f"its message {sent} (queue {shown(queue, 100)}{_ahead(queue, situation)}){again}"


#: What decides first stands first.
_CONDITIONS = (
    _unroutable,
    _without_message,
    _held,
    _mode_unknown,
    _retry,
    _no_worker,
    _not_consumed,
    _no_taker,
    _unknown_task,
    _no_slot,
    _ramp,
    _orphaned,
)
