"""The record of a run: the truth that every worker shares."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from dataclasses import replace as replace

#: The highest generation that a record or message may have; it is not raised beyond.
MOST_GENERATIONS = 2**31 - 1


class RunKey(NamedTuple):
    """What names a run: the task's name and the task id that all its executions share."""

    task: str
    id: str

    def __str__(self) -> str:
        return f"{self.task}[{self.id}]"


class State(str, Enum):
    """Where a run stands. The table in ``docs/explanation/runs.md`` says how each one ends."""

    RUNNING = "running"
    INTERRUPTED = "interrupted"
    RETRYING = "retrying"
    PAUSED = "paused"
    FINISHING = "finishing"
    ENDED = "ended"

    def __str__(self) -> str:
        return self.value


class Outcome(str, Enum):
    """How an ended run ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    def __str__(self) -> str:
        return self.value


class Request(str, Enum):
    """What an operator asks of a running execution; it is in the answer to its next checkpoint."""

    CANCEL = "cancel"
    PAUSE = "pause"
    #: Read what was adjusted; the execution continues.
    ADJUST = "adjust"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Record:
    """One run, as a store keeps it.

    ``due_at`` is in the store's own time and has one meaning in every state: from then on
    somebody other than the owner may act on the run (its lease has ended, its hand-over was
    not admitted, its wait is over). ``None`` means never.
    """

    state: State
    #: Which message may continue the run; every published successor raises it.
    generation: int = 0
    #: Raised at every admission; a write under an older fence is refused.
    fence: int = 0
    #: The fence of the ended run whose id this one uses again; 0: the store knew of none.
    after: int = 0
    #: The worker that holds the lease, or ``None`` when nobody does.
    owner: str | None = None
    due_at: float | None = None
    #: Encoded (see :mod:`celery_graceful.model.run.cursor`); ``None`` before the first.
    checkpoint: str | None = None
    #: Items done since the run began, over all executions.
    steps: int = 0
    #: Items done when the present execution began.
    execution_steps: int = 0
    #: How many times the run was resumed after its first execution; -1: it waits for that one.
    resumptions: int = 0
    #: Crashed executions in a row that added nothing, and the items done at the last of them.
    crashes: int = 0
    crash_steps: int = -1
    #: How the last lost execution ended, for people: a signal, a lease that was over.
    last_crash: str = ""
    #: Executions in a row that processed items and ended at the cursor where they began.
    stalls: int = 0
    #: How many times the pending message was published again; doubles the wait for the next.
    republished: int = 0
    #: Why no worker can take the pending message, for people; empty while it can be taken.
    unroutable: str = ""
    requested: Request | None = None
    #: Why the last execution stopped, for people.
    reason: str = ""
    #: What the run was asked at its start (see :class:`.RunOptions`), as text; mostly empty.
    options: str = ""
    #: What operators have adjusted since (see :class:`.Adjustments`), as text; mostly empty.
    adjusted: str = ""
    #: The items done when the run paused itself, as it was asked at its start; 0: it has not.
    paused_at: int = 0
    #: Seconds that its executions have worked, as far as they said so at their ends.
    seconds: float = 0.0
    #: When its present or last execution began, in Unix seconds at its runner; 0: with the run.
    began: float = 0.0
    #: The process and the trace of that execution; see :class:`.PastExecution`.
    process: int = 0
    trace: str = ""
    #: The worker of a run that has ended at its first execution.
    worker: str = ""
    #: Its past executions, what operators did to it, and its last error, as text: see
    #: :mod:`celery_graceful.model.run.history`.
    history: str = ""
    actions: str = ""
    error: str = ""
    outcome: Outcome | None = None
    #: The result or final error of a ``finishing`` run, as the runner encoded it.
    result: str | None = None
    #: How to publish the run again, as the runner encoded it; empty once it has completed.
    envelope: bytes = b""
    #: Seconds for which the summary of an ended run is kept.
    kept_for: float = 0.0
    #: When the run ended, in the store's own time; set by the store, as ``due_at`` is.
    ended_at: float | None = None
    #: The same of an ended run that was written since; 0: it was not.
    ended_first: float = 0.0
    #: Unix time at the runner that started the run, in seconds.
    started_at: float = 0.0
    #: Names the transition that made the record what it is, so that whoever lost the answer to
    #: a write can tell its own from another's; renewals and checkpoints leave it alone.
    stamp: str = ""
    #: Raised by the store at every write; what compare-and-set compares.
    version: int = 0

    @property
    def live(self) -> bool:
        """Whether the run has still to end."""
        return self.state is not State.ENDED

    @property
    def end(self) -> float | None:
        """When the run ended, in the store's own time."""
        return self.ended_first or self.ended_at

    @property
    def queued(self) -> bool:
        """Whether it waits for its first execution, and was sent by ``graceful.runs.start``."""
        return self.resumptions < 0

    @property
    def crashes_without_progress(self) -> int:
        """Crashes in a row since the run last got further."""
        return self.crashes if self.steps <= self.crash_steps else 0

    def leased(self, now: float) -> bool:
        """Whether a runner holds the run at ``now`` (store time)."""
        return self.owner is not None and self.due_at is not None and now < self.due_at


if not TYPE_CHECKING:

    def replace(record: Record, /, **changes: Any) -> Record:
        """``dataclasses.replace`` at an eighth of its cost: each write to a store makes two."""
        changed = object.__new__(Record)
        changed.__dict__.update(record.__dict__, **changes)
        return changed
