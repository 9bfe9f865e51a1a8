"""The database of a task, through SQLAlchemy, which is imported when a run begins."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from celery_graceful.atomic.base import Claim, Work

if TYPE_CHECKING:
    from celery_graceful.atomic.alchemy_work import Ready


class SqlAlchemy:
    """Makes sessions by ``make_session``; see :meth:`~celery_graceful.Atomic.sqlalchemy`."""

    def __init__(self, make_session: Callable[[], Any]) -> None:
        self.make_session = make_session
        self._ready: Ready | None = None

    def problems(self) -> list[str]:
        """What is wrong with ``make_session``, as far as that can be seen without calling it."""
        if find_spec("sqlalchemy") is None:
            return [
                "atomic: SQLAlchemy is not installed; pip install 'celery-graceful[sqlalchemy]'"
            ]
        made = self.make_session
        if _is_a(made, "sqlalchemy.engine", "Engine", "Connection"):
            wanted = "pass sessionmaker(engine) instead of the engine"
        elif _is_a(made, "sqlalchemy.orm", "Session"):
            wanted = "pass the sessionmaker that makes it: each run needs a session of its own"
        elif _is_a(made, "sqlalchemy.ext.asyncio", "async_sessionmaker", "async_scoped_session"):
            wanted = "tasks are not asynchronous; pass a sessionmaker of a plain engine"
        elif not callable(made):
            wanted = "pass a sessionmaker, or another callable that returns a session"
        else:
            return []
        return [f"atomic: Atomic.sqlalchemy({made!r:.200}) cannot make sessions; {wanted}"]

    def open(self, task: str, *, carried: bool) -> Work:
        from celery_graceful.atomic.alchemy_work import Ready, SessionWork

        if self._ready is None:
            self._ready = Ready()
        return SessionWork(self.make_session, task, self._ready, carried=carried)

    def forget(self, claim: Claim) -> None:
        from celery_graceful.atomic.alchemy_work import forget

        forget(self.make_session, claim)


def _is_a(thing: object, module: str, *names: str) -> bool:
    """Without importing: what comes from a module that is not imported is none of its things."""
    loaded = sys.modules.get(module)
    return any(isinstance(thing, getattr(loaded, name)) for name in names if loaded is not None)
