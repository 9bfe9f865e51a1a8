"""What may happen to a run. Each event is one row of the table in :mod:`.decide`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from celery_graceful.model.run.history import Action
from celery_graceful.model.run.record import Outcome, Record


@dataclass(frozen=True, slots=True)
class Admit:
    """A message of the run reached a worker, which asks whether it may execute the run."""

    generation: int
    owner: str
    redelivered: bool = False
    #: The checkpoint in the message, used only when the store has no record of the run, or does not
    #: know that its owner has stopped (see ``left``).
    checkpoint: str | None = None
    envelope: bytes = b""
    #: Unix time, for people; it also identifies an admission that is retried.
    at: float = 0.0
    #: Seconds since the worker received the message.
    waited: float = 0.0
    #: Whether an expired lease is enough, since no rescuer can take the run.
    takes_over: bool = False
    #: The fence of a run that begins: one that no earlier owner can hold whose record vanished.
    fresh_fence: int = 1
    #: The message should carry a checkpoint and does not: it was too large to travel.
    left_out: bool = False
    #: The fence of the owner that sent the message while the store was away. It had ended then,
    #: with this checkpoint and so many items done.
    left: int | None = None
    steps: int = 0
    #: What the run was asked at its start, as its message has it; for a run without a record.
    options: str = ""
    #: An operator has deleted the run; of a message that is not its first.
    deleted: bool = False
    #: The process that would execute it, and the trace it belongs to; see :class:`.PastExecution`.
    process: int = 0
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Enqueue:
    """A run is about to be sent: known from here on, it is not lost if its sender dies."""

    envelope: bytes
    #: See :attr:`.Record.options`.
    options: str
    #: A fence that no other owner can hold.
    fresh_fence: int
    #: Unix time, for people.
    at: float = 0.0
    #: Of a fork: what was done before it, by the run that it comes from.
    checkpoint: str | None = None
    steps: int = 0
    paused_at: int = 0
    by: Action | None = None


@dataclass(frozen=True, slots=True)
class HandOver:
    """The runner stops and is about to publish a successor, or to return its message."""

    fence: int
    checkpoint: str | None
    steps: int
    reason: str
    #: False when the runner returns its own message to the broker instead of publishing.
    successor: bool = True
    #: Executions in a row, this one included, that processed items without moving the cursor.
    stalls: int = 0
    #: The run pauses itself, for this reason.
    pauses: bool = False
    #: Seconds that the execution has worked.
    took: float = 0.0
    #: Unix time at the runner, for people.
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Wait:
    """The runner stops; its successor is not to start before ``delay`` seconds (a retry)."""

    fence: int
    checkpoint: str | None
    steps: int
    reason: str
    delay: float = 0.0
    #: Seconds that the execution has worked.
    took: float = 0.0
    #: Unix time at the runner, for people.
    at: float = 0.0
    #: The error that is the reason for it (see :class:`.RunError`), as text.
    error: str = ""


@dataclass(frozen=True, slots=True)
class Reclaim:
    """The execution had stopped, but the broker refused its successor: it takes the run back."""

    fence: int
    owner: str


@dataclass(frozen=True, slots=True)
class Restore:
    """The owner found no record of its run: it vanished from the store."""

    fence: int
    #: What the owner holds, the envelope included.
    record: Record
    #: A fence that no other owner can hold.
    fresh_fence: int


@dataclass(frozen=True, slots=True)
class Finish:
    """The runner has the result or the final error, and Celery has not stored it yet."""

    fence: int
    checkpoint: str | None
    steps: int
    result: str
    outcome: Outcome
    #: The error with which it fails, as :class:`Wait` has it.
    error: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """Celery has stored the outcome and fired the callbacks; or the runner gave the run up."""

    fence: int
    outcome: Outcome
    #: Where the run ended, if no earlier event has it; ``None`` keeps what the record has.
    checkpoint: str | None = None
    steps: int | None = None
    #: Seconds that the execution has worked.
    took: float = 0.0
    #: Unix time at the runner, for people.
    at: float = 0.0
    #: The error with which it fails, as :class:`Wait` has it.
    error: str = ""


@dataclass(frozen=True, slots=True)
class Kill:
    """The worker's main process ended the run: hard time limit, revoke, expiry."""

    outcome: Outcome
    reason: str
    #: The delivery it happened to; ``None``: the run as such, whoever owns it (a revoke).
    generation: int | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """The worker saw the process with this generation die, or stop without a trace."""

    owner: str
    generation: int
    #: How it died, for people: the signal, mostly.
    how: str = "its process died"
    #: False when it did not die, but left while the store was away.
    crashed: bool = True
    #: The execution's fence, where it is known.
    fence: int | None = None
    #: The store was away when it happened: the message may have come back, and been dropped.
    late: bool = False


@dataclass(frozen=True, slots=True)
class Rescue:
    """A worker found the run overdue."""


@dataclass(frozen=True, slots=True)
class MarkUnroutable:
    """The pending message of this generation cannot be taken by anybody, as far as can be seen."""

    generation: int
    #: For people: no queue takes it, a worker that got it does not know the task.
    why: str


@dataclass(frozen=True, slots=True)
class NoteAdjusted:
    """The owner has seen what an operator has adjusted."""

    fence: int


# -- operators -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class OfOperator:
    """What every event of an operator has."""

    #: Who, and why; goes into the run's log of actions with the change itself.
    by: Action | None = None
    #: Refused if the run's public state is another one; empty: whatever its state.
    expected: str = ""


@dataclass(frozen=True, slots=True)
class Cancel(OfOperator):
    """An operator or ``revoke`` wants the run to end at its next checkpoint."""


@dataclass(frozen=True, slots=True)
class Pause(OfOperator):
    """An operator takes the run out."""


@dataclass(frozen=True, slots=True)
class Resume(OfOperator):
    """An operator puts a paused run back."""


@dataclass(frozen=True, slots=True)
class Resend(OfOperator):
    """An operator sends the pending message of a run again."""


@dataclass(frozen=True, slots=True)
class Retry(OfOperator):
    """An operator continues a run that failed, was cancelled or is paused."""

    #: Of the run as the operator has seen it.
    generation: int
    #: Its message, as it is to be sent from here on.
    envelope: bytes
    #: It continues at ``checkpoint`` instead of its own; ``None``: it begins anew.
    rewinds: bool = False
    checkpoint: str | None = None


@dataclass(frozen=True, slots=True)
class Adjust(OfOperator):
    """An operator changes what the run's executions work with."""

    #: Of the run as the operator has seen it.
    generation: int
    #: See :attr:`.Record.adjusted`.
    adjusted: str
    #: Its message, as it is to be sent from here on.
    envelope: bytes
    #: Whether that goes another way than before.
    moves: bool = False


@dataclass(frozen=True, slots=True)
class Evict(OfOperator):
    """An operator takes the run from its owner, which is stuck."""


@dataclass(frozen=True, slots=True)
class Replay(OfOperator):
    """An operator has the run's quarantined items tried again, by a task of its own."""


@dataclass(frozen=True, slots=True)
class Forget(OfOperator):
    """An operator deletes an ended run."""


Event = Union[  # noqa: UP007 - evaluated at run time on Python 3.10
    Admit,
    Enqueue,
    HandOver,
    Wait,
    Reclaim,
    Restore,
    Finish,
    End,
    Kill,
    Release,
    Rescue,
    MarkUnroutable,
    NoteAdjusted,
    Cancel,
    Pause,
    Resume,
    Resend,
    Retry,
    Adjust,
    Evict,
    Replay,
    Forget,
]
