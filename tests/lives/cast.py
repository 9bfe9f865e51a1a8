"""Who takes part in a life: messages, workers, executions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import Record, RunKey
from celery_graceful.runs.lost.rescue import Rescuer
from celery_graceful.runs.transition import Attempt, Transition

RUN = RunKey("task", "id")
ITEMS = 8


@dataclass
class Message:
    generation: int
    redelivered: bool = False
    #: Which use of the id it belongs to: known to the test, not to the protocol.
    use: int = 1
    #: What travels with it, for when the store knows nothing of the run.
    checkpoint: str | None = None
    #: The fence of the execution that sent it while the store was away.
    left: int | None = None


@dataclass(eq=False)
class Worker:
    name: str
    rescuer: Rescuer
    #: Its way to the store is cut.
    cut: bool = False
    #: It stands still, with all its executions.
    frozen: bool = False
    #: How many of its next writes succeed without its knowing.
    loses: int = 0
    #: What its host's clock is off by, in seconds.
    skew: float = 0.0
    blind_for: float = 0.0
    beat_next: bool = True
    #: Executions whose process it saw die, and could not tell yet.
    dead: list[ev.Release] = field(default_factory=list)


@dataclass(eq=False)
class Execution:
    worker: Worker
    message: Message
    #: ask, run, told, write, publish, give_back, finish, give_up
    phase: str = "ask"
    record: Record | None = None
    position: int = 0
    use: int = 0
    why: str = ""
    #: The generation to publish.
    successor: int = 0
    #: The checkpoint that travels with it.
    sent: str | None = None
    #: Until when it holds its lease, as far as it knows; and when it last looked up.
    lease_until: float = 0.0
    looked_at: float = 0.0
    #: It has done the item it was at when it stood still.
    overran: bool = False
    #: What it tries to tell the store, since when, and what comes after.
    attempt: Attempt | None = None
    since: float = 0.0
    then: Callable[[Transition], None] | None = None
    #: The write of a record that vanished, until its answer has come.
    restore: Attempt | None = None

    @property
    def carries(self) -> bool:
        return self.phase in ("run", "told", "write", "finish", "give_up")

    @property
    def free(self) -> bool:
        return not self.worker.frozen

    @property
    def fence(self) -> int:
        assert self.record is not None
        return self.record.fence
