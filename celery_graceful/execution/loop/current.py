"""The execution that runs here and now, for those who need to know little of it."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol


class UnderWay(Protocol):
    """An execution, as seen by what watches its surroundings."""

    #: Where it stands.
    cursor: Any
    #: What its task has opened and not committed (an ``OpenWork``).
    open_work: Any
    #: Where its loop is just now (a ``Stand``); ``None`` while it stands still between items.
    stand: Any

    @property
    def task(self) -> Any:
        """The task it runs."""


current_execution: ContextVar[UnderWay | None] = ContextVar(
    "celery_graceful_execution", default=None
)

#: Makes the execution of a direct call or an eager run, or returns ``None``; used by the test kit.
#: Takes the task, its arguments and the checkpoint to begin at.
execution_maker: ContextVar[Callable[..., Any] | None] = ContextVar(
    "celery_graceful_execution_maker", default=None
)
