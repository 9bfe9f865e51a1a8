"""The leg that runs here and now, for those who need to know little of it."""

from __future__ import annotations

from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any, Protocol

__all__ = ["UnderWay", "current_leg"]


class UnderWay(Protocol):
    """A leg, as seen by what watches its surroundings."""

    #: Where it stands.
    cursor: Any
    #: Transactions of the task's own that are open, with what was first written in each.
    transactions: MutableMapping[Any, str]

    @property
    def task(self) -> Any:
        """The task it runs."""


current_leg: ContextVar[UnderWay | None] = ContextVar("celery_graceful_leg", default=None)
