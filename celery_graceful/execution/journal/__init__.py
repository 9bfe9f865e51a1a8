"""Where a run's checkpoints go: nowhere, to the store, to the task's own database as well."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from celery_graceful.atomic import Work
from celery_graceful.model.run.cursor import Checkpoint


class Journal(Protocol):
    """Keeps what an execution has done: in memory (eager runs, direct calls), or in the store."""

    #: How many times longer each of the loop's first stretches is than the one before.
    growth: int
    #: Whether there is a look after each stretch of items: nothing else reports what is due.
    looks_at_each_stretch: bool

    def look(self, done: int) -> None:
        """Between two items, ``done`` after the last look: save the checkpoint if it is due.

        Raises:
            Interrupted: the execution has to leave.
        """

    def begins(self, cursor: Any) -> None:
        """With ``track_in_doubt``: the item of ``cursor`` begins when this has returned."""

    def last_saved(self) -> Checkpoint | None:
        """What a crash would leave of the run; ``None``: where the execution began."""

    def begin_quarantine(self) -> None:
        """Items may be quarantined from now on."""

    def quarantine(self, ordinal: int, entry: str) -> None:
        """Keep an item that failed."""

    def quarantined(self, cursor: Any, exc: Exception) -> None:
        """The item of ``cursor`` was quarantined, and counted."""


class ItemWork(Protocol):
    """What items have done in the task's own database: committed by themselves, or by the run."""

    looks_at_each_stretch: bool
    #: Whether every look may have to commit, for want of a ticker.
    is_timed: bool
    #: Whether the run is this execution's to work on.
    began: bool
    #: When the batch under way is to be committed, in monotonic seconds.
    commit_due: float

    @property
    def kept(self) -> Checkpoint | None:
        """What is committed; ``None`` where items commit by themselves."""

    @property
    def transaction(self) -> Work:
        """The transaction of an atomic run; raises :exc:`~celery_graceful.errors.NoRunError`."""

    def enter(self) -> None:
        """Begin; the execution may move to what the database knows of the run."""

    def prepare(self) -> None:
        """An item or a hook comes next: see to it that its transaction is open."""

    def look(self) -> None:
        """Between two items: commit what is due, and prepare the next."""

    def save(self) -> bool:
        """Commit what was done; false if another execution has the run."""

    def save_result(self, result: Callable[[], Any]) -> bool:
        """Commit that all is done; false if another execution has the run."""

    def item_scope(self) -> AbstractContextManager[Any]:
        """Around one item whose failure does not end the run: what it did is undone."""

    def stands(self) -> bool:
        """Whether what was done since the last checkpoint can still be saved."""

    def explained(self, exc: Exception) -> Exception | None:
        """A clearer error than ``exc`` for what an item did to the transaction, or ``None``."""

    def undo(self) -> bool:
        """Undo what is not committed; whether the execution went back to the last commit."""

    def forget(self) -> None:
        """The run has ended: remove what was kept of it beside the store."""

    def close(self) -> None:
        """No more items are processed here."""


class Doubt:
    """One execution's knowledge of items that began and were not seen to end.

    Args:
        item: the cursor of the item in doubt, as the last checkpoint has it; ``None``: none is.
    """

    def __init__(self, item: Any) -> None:
        self.item = item
        self._under_way: Any = None

    @property
    def to_save(self) -> Any:
        """What the next execution has to know, if nothing more is saved."""
        return self.item if self._under_way is None else self._under_way

    def begins(self, cursor: Any) -> None:
        """The item of ``cursor`` is about to run."""
        self._under_way = cursor

    def not_begun(self) -> None:
        """It does not run after all."""
        self._under_way = None

    def done(self) -> None:
        """What was under way is done."""
        if self._under_way is None or self._under_way == self.item:
            self.item = None
        self._under_way = None


def cursor_part(text: str | None) -> str:
    """The part of an encoded checkpoint that holds the cursor."""
    if text is None:
        return '{"cursor":null'
    return text.split(',"carry":', 1)[0]
