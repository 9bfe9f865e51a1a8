"""Rows of atomic items through a session of SQLAlchemy."""

from __future__ import annotations

import os
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import sessionmaker

from celery_graceful import Atomic
from tests.chaos.ledger import INSERT_NAMED

ATOMIC = Atomic.sqlalchemy(
    sessionmaker(create_engine(os.environ["CHAOS_DATABASE"], pool_size=1)), every=20
)
#: A connection that was cut.
ERRORS: tuple[type[Exception], ...] = (DBAPIError,)


def write(task: Any, row: dict[str, Any]) -> None:
    """Add a row within the task's transaction."""
    task.transaction.session.execute(text(INSERT_NAMED), row)
