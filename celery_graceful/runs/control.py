"""What an operator sees of runs, and may do to them: list, pause, resume, cancel, send again."""

from __future__ import annotations

from dataclasses import dataclass

from kombu.exceptions import OperationalError

from celery_graceful._celery.message import wire
from celery_graceful.durations import format_seconds
from celery_graceful.errors import GracefulError, PublishUncertain
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import Outcome, Record, RunKey, State
from celery_graceful.model.run.verdict import Verdict
from celery_graceful.runs.revoked import store_revoked
from celery_graceful.runs.successors import publish_record
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import Runtime
from celery_graceful.text.masking import mask_text, mask_url

#: Runs that are searched for those in one state.
SEARCHED = 10_000
#: Runs that are named where an id was shortened too much.
_CANDIDATES = 10
#: Runs whose id is looked at, at most.
MOST_NAMED = 250

_PENDING = (State.INTERRUPTED, State.RETRYING)


class UnknownRun(GracefulError):
    """No run, or more than one, has the id that was asked for."""


class Refused(GracefulError):
    """What was asked does not fit the state of the run; nothing was changed."""


class NotSent(GracefulError):
    """The run was put back, but the broker did not take its message yet."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run as the store had it at ``now``, the store's time in seconds."""

    key: RunKey
    record: Record
    now: float

    @property
    def overdue(self) -> bool:
        """Whether its runner was not heard of for a lease, or nobody took its message in time."""
        due = self.record.due_at
        return self.record.live and due is not None and due <= self.now

    @property
    def orphaned(self) -> bool:
        """Whether it waits for a message that should have arrived long ago (a purge, say)."""
        pending = self.record.state in _PENDING
        return pending and (self.overdue or self.record.republished > 0)


@dataclass(frozen=True, slots=True)
class Change:
    """What came of a change: the run before and after, the verdict, and what to know about it."""

    before: Run
    record: Record
    verdict: Verdict
    why: str
    #: What did not work beside the change itself; empty when all did.
    trouble: str = ""


def listing(runtime: Runtime, limit: int) -> list[Run]:
    """The runs of the app, in the order of :meth:`~celery_graceful.stores.base.Store.runs`.

    Args:
        limit: how many at most.

    Raises:
        StoreUnavailable: the store did not answer.
    """
    entries = runtime.store.runs(limit)
    if not entries:
        return []
    now = runtime.store.load(entries[0][0]).now
    return [Run(key, record, now) for key, record in entries]


def find(runtime: Runtime, text: str) -> Run:
    """The run that ``text`` names: a task id, or ``task[id]`` as in the logs.

    The id may be shortened to its first characters, as long as no other begins so. An id that is
    given in full is that run's, whatever others begin with it.

    Raises:
        UnknownRun: there is none, or there are several; the message names them.
        StoreUnavailable: the store did not answer.
        CorruptRecord: its record cannot be read.
    """
    found = _named(runtime, text)
    if not found:
        raise UnknownRun(
            f"no run {text!r} is known to the app {runtime.namespace!r}. Runs are known from the"
            " moment a worker first takes them up until"
            f" {format_seconds(runtime.settings.run_retention)} after their end."
        )
    if len(found) > 1:
        raise UnknownRun(_ambiguous(text, found))
    return found[0]


def name_of(run: Run, text: str) -> str:
    """What names a run in full that was found by ``text``: its id, or ``task[id]`` if it was so."""
    return str(run.key) if text.endswith("]") and "[" in text else run.key.id


def _named(runtime: Runtime, text: str) -> list[Run]:
    """The runs that ``text`` may mean, up to one more than are named."""
    task, bracket, rest = text.partition("[")
    if bracket and rest.endswith("]"):
        run_id, tasks = rest[:-1], [task]
    else:
        registered = runtime.app.tasks.items()
        run_id = text
        tasks = [name for name, task in registered if hasattr(task, "build_enumerator")]
    found = _load(runtime, [RunKey(name, run_id) for name in tasks])
    if found or not run_id:
        return found
    keys = runtime.store.named(run_id, MOST_NAMED)
    if bracket:
        keys = [key for key in keys if key.task == task]
    exact = [key for key in keys if key.id == run_id]
    return _load(runtime, (exact or keys)[: _CANDIDATES + 1])


def _ambiguous(text: str, found: list[Run]) -> str:
    shown = "\n".join(f"{run.key} ({run.record.state})" for run in found[:_CANDIDATES])
    number = f"more than {_CANDIDATES}" if len(found) > _CANDIDATES else str(len(found))
    more = "\n…" if len(found) > _CANDIDATES else ""
    return f"{text!r} fits {number} runs; write more of the id, or one of these:\n{shown}{more}"


def _load(runtime: Runtime, keys: list[RunKey]) -> list[Run]:
    looked_up = [(key, runtime.store.load(key)) for key in keys]
    return [Run(key, at.record, at.now) for key, at in looked_up if at.record is not None]


# -- changes ---------------------------------------------------------------------------------


def pause(runtime: Runtime, run: Run) -> Change:
    """Take a run out: a running one at its next checkpoint, any other at once.

    Raises:
        Refused: it has ended, is ending, or is paused.
    """
    return _apply(runtime, run, ev.Pause())


def resume(runtime: Runtime, run: Run) -> Change:
    """Put a paused run back, or withdraw a pause that its runner has not seen yet.

    Raises:
        Refused: it is not paused, or belongs to another broker.
        NotSent: it is back, but the broker did not take its message; a worker repeats that.
    """
    return _apply(runtime, run, ev.Resume())


def cancel(runtime: Runtime, run: Run) -> Change:
    """End a run: a running one at its next checkpoint, any other at once.

    Raises:
        Refused: it has ended or is ending.
    """
    change = _apply(runtime, run, ev.Cancel())
    if change.record.outcome is not Outcome.CANCELLED:
        return change  # its runner will tell the result backend
    trouble = store_revoked(runtime.app, run.key, run.record.envelope)
    return Change(run, change.record, change.verdict, change.why, trouble)


def resend(runtime: Runtime, run: Run) -> Change:
    """Send the message of a pending run again, as after a purge; the old one becomes a duplicate.

    Raises:
        Refused: no message of it is under way, or it belongs to another broker.
        NotSent: the broker did not take the message; a worker repeats that.
    """
    return _apply(runtime, run, ev.Resend())


def _apply(runtime: Runtime, run: Run, event: ev.Event) -> Change:
    if isinstance(event, (ev.Resume, ev.Resend)) and run.record.envelope:
        _check_broker(runtime, run)
    done = transition(runtime.store, run.key, event, runtime.policy)
    verdict, why = done.decision.verdict, done.decision.why
    if verdict is Verdict.REFUSED or done.record is None:
        record = done.record or run.record
        raise Refused(f"{run.key}: {why}. {_advice(record, event)}".rstrip())
    if verdict is Verdict.PUBLISH:
        _publish(runtime, run.key, done.record)
    return Change(run, done.record, verdict, why)


def _check_broker(runtime: Runtime, run: Run) -> None:
    broker = wire.unpack(run.record.envelope).broker
    if broker != runtime.broker:
        raise Refused(
            f"{run.key} belongs to the broker {mask_url(broker)}, and this app publishes to"
            f" {runtime.broker}. Use the configuration of the workers that carry it."
        )


def _publish(runtime: Runtime, key: RunKey, record: Record) -> None:
    try:
        publish_record(runtime, key, record)
    except (OperationalError, PublishUncertain) as exc:
        raise NotSent(
            f"{key} is put back, but the broker {runtime.broker} did not take its message:"
            f" {mask_text(str(exc)).rstrip('.')}."
            f" A worker sends it again within {2 * runtime.settings.lease_ttl:g} s."
        ) from exc


def _advice(record: Record, event: ev.Event) -> str:
    if record.state is State.ENDED:
        return "An ended run stays ended; start the task anew, from a cursor if it has one."
    if record.state is State.FINISHING:
        return "Its work is done and its outcome is being stored."
    if record.state is State.PAUSED:
        return "Resume or cancel it."
    if isinstance(event, ev.Resend):
        return "A worker carries it; should that worker die, another takes it up by itself."
    if isinstance(event, ev.Resume):
        return "Its message is on its way to a worker." if record.state in _PENDING else ""
    return ""
