"""Rows of a database by SQLAlchemy, resumable at a key."""

from __future__ import annotations

from typing import Any


def select(stmt: Any, session_or_engine: Any, *, cursor: Any = None) -> Any:
    raise NotImplementedError
