"""A database of each kind, with tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from .things import Database

KINDS = [
    "sqlite",
    pytest.param("postgres", marks=pytest.mark.postgres),
    "sorted_postgres",
    "mariadb",
]


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database with the tables, of each kind in turn."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/things.db"
    else:
        url = request.getfixturevalue(f"{request.param}_url")
    engine = create_engine(url)
    yield Database(engine)
    engine.dispose()
