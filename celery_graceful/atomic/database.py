"""What a database does for atomic runs; implement it for one that SQLAlchemy does not know."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

#: In ``Session.info`` of a session that commits items' work and checkpoint together.
COMMITTED_FOR_ITEMS = "celery_graceful.atomic"
#: An attribute of the ``atomic()`` block of Django's that is a batch's transaction.
OWN_BLOCK = "is_committed_for_items"


class Busy(Exception):
    """Another transaction holds the row, or the whole database: the same call may succeed soon."""


class Claim(NamedTuple):
    """An execution that asks for its run's row."""

    namespace: str
    task: str
    id: str
    #: The execution's fence.
    fence: int
    #: When the run began, as its record says: distinguishes runs that have one id.
    started: str
    #: Names this execution alone; what it writes later is guarded by it.
    execution: str
    #: What the store knows; ``None``: nothing is done yet.
    checkpoint: str | None
    steps: int
    #: Seconds for which the store remembers a run that has ended.
    kept_for: float
    #: The fence of the ended run whose id this one uses again; 0: the store knew of none.
    after: int = 0


class Row(NamedTuple):
    """A run's row, as the task's database has it."""

    fence: int
    started: str
    #: ``None`` before the first commit.
    checkpoint: str | None
    steps: int
    #: The encoded result, once everything is done.
    result: str | None
    #: Unix time of the last commit, at the worker that made it.
    updated_at: float


class Mark(NamedTuple):
    """What a commit writes into the row, beside the items' work."""

    checkpoint: str
    steps: int
    result: str | None = None


class Work(Protocol):
    """One execution's work in the task's database; ``self.transaction`` to the user."""

    @property
    def session(self) -> Any:
        """What items work with: all they do through it is committed with their checkpoint.

        A session of SQLAlchemy, or Django's connection.
        """

    def claim(self, claim: Claim, stands: Callable[[], bool]) -> Row | None:
        """Make the run's row this execution's, in its own transaction; returns the row.

        With the row written and not yet committed, ``stands`` is asked whether the execution may
        still own the run. If it may not, nothing is left behind and the answer is ``None``. From
        then on no other execution's commit is accepted.

        Raises:
            Busy: another transaction holds the row; not waited for longer than half a second.
        """

    def begin(self) -> None:
        """Begin the transaction of the next items, if it has not begun."""

    def commit(self, mark: Mark | None) -> bool:
        """Commit the items' work together with ``mark`` (``None``: there is no row).

        Returns:
            False, and nothing is committed, when the row is no longer this execution's.

        Raises:
            TransactionError: the transaction was committed or rolled back by somebody else.
        """

    def committed(self) -> None:
        """The commit is done and noted: call what waits for it. What that raises is passed on."""

    def item(self) -> AbstractContextManager[Any]:
        """Around one item: what it did is undone when it raises, and nothing else."""

    def stands(self) -> bool:
        """Whether what the batch has done can still be committed: a database may undo it all."""

    def explained(self, exc: Exception) -> Exception | None:
        """A clearer error for what an item has done to the transaction; ``None`` if ``exc`` is."""

    def rollback(self) -> None:
        """Undo what was not committed. Never raises."""

    def close(self) -> None:
        """Undo what was not committed and give the connection back. Never raises."""


class Database(Protocol):
    """Makes an execution's work; shared by all executions of a process, connects to nothing."""

    def problems(self) -> list[str]:
        """What is wrong with how it was made, for the person who writes the task."""

    def open(self, task: str, *, carried: bool) -> Work:
        """Work for one execution of ``task``: ``carried`` by a worker, or called here."""

    def forget(self, claim: Claim) -> None:
        """Remove the row of a run that has ended, if no later run of this id has it."""


def is_committed_for_items(session: Any) -> bool:
    """Whether the plugin commits this SQLAlchemy session, together with the checkpoint."""
    return COMMITTED_FOR_ITEMS in session.info


def own_blocks(connection: Any) -> int:
    """How many of the open blocks of Django's connection are a batch's transaction."""
    return sum(getattr(block, OWN_BLOCK, False) for block in connection.atomic_blocks)


# -- whose row it is ---------------------------------------------------------------------------


def settled(row: Row | None, claim: Claim, now: float) -> Row:
    """The row to write for ``claim``, which the store has admitted.

    Args:
        row: what is there.
        claim: the execution's.
        now: Unix time, in seconds.
    """
    fresh = Row(claim.fence, claim.started, claim.checkpoint, claim.steps, None, now)
    if row is None or not _same_run(row, claim, now):
        return fresh
    if claim.steps > row.steps:  # the task was not atomic for a while
        return fresh
    return row._replace(fence=claim.fence, started=claim.started, updated_at=now)


def _same_run(row: Row, claim: Claim, now: float) -> bool:
    if row.started == claim.started:
        return True
    if claim.after >= row.fence:  # the store remembers that run, and that it ended
        return False
    # The store has forgotten it. After the end that is as it should be; before, data was lost,
    # and the row knows better.
    return now < row.updated_at + claim.kept_for
