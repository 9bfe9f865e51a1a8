"""The execution that runs here and now, for those who need to know little of it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from celery_graceful.execution.loop import Stand
    from celery_graceful.execution.uncommitted import OpenWork


class UnderWay(Protocol):
    """An execution, as seen by what watches its surroundings."""

    #: Where it stands.
    cursor: Any
    #: What its task has opened and not committed.
    open_work: OpenWork
    #: Where its loop is just now; ``None`` while it stands still between items.
    stand: Stand | None

    @property
    def task(self) -> Any:
        """The task it runs."""


current_execution: ContextVar[UnderWay | None] = ContextVar(
    "celery_graceful_execution", default=None
)
