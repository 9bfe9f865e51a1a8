"""The option ``atomic`` of a task, and SQLAlchemy for it, which is imported when a run begins."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

from celery_graceful import durations
from celery_graceful.atomic.database import Claim, Database, Work
from celery_graceful.atomic.django_database import DjangoDatabase

if TYPE_CHECKING:
    from celery_graceful.atomic.alchemy_work import Ready

_EXAMPLES = 'write a number of items, such as 100, or a time with its unit, such as "50ms"'


class Every(NamedTuple):
    """When a batch is committed: after so many items, or so many seconds; the other is 0."""

    items: int = 0
    seconds: float = 0.0


class Atomic:
    """Commits items' work and their checkpoint in one transaction of the task's own database.

    Args:
        database: does it; see :class:`~celery_graceful.atomic.Database`.
        every: commit after so many items, or after a time such as ``"50ms"``. A batch is committed
            early when its checkpoint is due (``checkpoint_interval``) and when the execution ends.
    """

    def __init__(self, database: Database, every: int | str | timedelta = 100) -> None:
        self.database = database
        self.every = every

    @classmethod
    def sqlalchemy(
        cls, make_session: Callable[[], Any], every: int | str | timedelta = 100
    ) -> Atomic:
        """Through a session of SQLAlchemy, which items find as ``self.transaction.session``.

        Nothing is connected before a run begins; what is wrong with the arguments is a fault of
        the task's definition.

        Args:
            make_session: a ``sessionmaker``, a ``scoped_session``, or anything else that returns
                a session when it is called.
            every: see :class:`Atomic`.
        """
        return cls(SqlAlchemy(make_session), every)

    @classmethod
    def django(cls, using: str = "default", every: int | str | timedelta = 100) -> Atomic:
        """In a transaction of Django's database ``using``, in which items use the ORM as usual.

        Nothing is imported or connected before a run begins; what is wrong with the arguments is a
        fault of the task's definition.

        Args:
            using: an alias of ``settings.DATABASES``. What items do in other databases is not part
                of the transaction.
            every: see :class:`Atomic`.
        """
        return cls(DjangoDatabase(using), every)

    def problems(self) -> list[str]:
        """What is wrong with the arguments."""
        found = self.database.problems()
        try:
            self.interval()
        except ValueError as exc:
            found.append(f"atomic: every={self.every!r} is wrong: {exc}")
        return found

    def interval(self) -> Every:
        """``every``, understood; raises ``ValueError``."""
        every = self.every
        if isinstance(every, int) and not isinstance(every, bool):
            if every < 1:
                raise ValueError(f"it has to be 1 or more; {_EXAMPLES}")
            return Every(items=every)
        if isinstance(every, timedelta) or (isinstance(every, str) and not _is_number(every)):
            seconds = durations.parse(every)
            if seconds <= 0:
                raise ValueError(f"it has to be more than 0; {_EXAMPLES}")
            return Every(seconds=seconds)
        raise ValueError(_EXAMPLES)


def _is_number(text: str) -> bool:
    return text.strip().replace(".", "", 1).isdecimal()


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
