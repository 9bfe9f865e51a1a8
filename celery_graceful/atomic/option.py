"""The option ``atomic`` of a task."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from celery_graceful import durations
from celery_graceful.atomic.alchemy import SqlAlchemy
from celery_graceful.atomic.base import Database

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
