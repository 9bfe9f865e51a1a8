"""Indexes of the runs that are rare: paused and failed ones. No other run is written into them.

The database says itself what belongs there, so these indexes are right whatever version of this
package writes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, Final

from sqlalchemy import (
    DDL,
    ColumnElement,
    Double,
    Engine,
    Index,
    String,
    func,
    literal_column,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex

from celery_graceful.stores.sql.tables import table
from celery_graceful.stores.tabs import Tab
from celery_graceful.text.masking import mask_text

logger = logging.getLogger("celery_graceful.stores")

_t = table.c
#: In what ``extra_of`` writes; a quotation mark within a text of it has a backslash before it.
_MARK: Final = """'"outcome":"failed"'"""
_IS_PAUSED: Final = _t.state == literal_column("'paused'")

TABS_OF_MYSQL: Final = "graceful_runs_tabs"
#: For MySQL, which has no partial indexes: columns that are empty for all other runs, so that
#: nothing changes in their index when these run and end.
_MYSQL: Final = (
    "ALTER TABLE graceful_runs"
    " ADD COLUMN tab varchar(8) AS (CASE WHEN state = 'paused' THEN 'paused'"
    f" WHEN expires_at IS NOT NULL AND instr(extra, {_MARK}) > 0 THEN 'failed' END) STORED,"
    " ADD COLUMN tab_at double AS (CASE WHEN state = 'paused' THEN started_at"
    f" WHEN expires_at IS NOT NULL AND instr(extra, {_MARK}) > 0 THEN expires_at END) STORED,"
    f" ADD INDEX {TABS_OF_MYSQL} (namespace, tab, tab_at)"
)
_OF_MYSQL: Final = ("mysql", "mariadb")
_ddl: Callable[[str], Any] = DDL  # SQLAlchemy does not type it

#: What databases say of one that is there.
_THERE: Final = ("already exists", "duplicate column")
#: How to see whether the last of them is there.
_LOOK: Final = {
    "postgresql": "SELECT 1 WHERE to_regclass('graceful_runs_failed') IS NOT NULL",
    "sqlite": "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = 'graceful_runs_failed'",
    **dict.fromkeys(
        _OF_MYSQL,
        "SELECT 1 FROM information_schema.statistics"
        f" WHERE table_schema = database() AND index_name = '{TABS_OF_MYSQL}' LIMIT 1",
    ),
}


def contains(
    where: ColumnElement[str], part: ColumnElement[str], dialect: str
) -> ColumnElement[bool]:
    """Whether a text has a part, byte by byte."""
    find = func.strpos if dialect == "postgresql" else func.instr
    return find(where, part) > literal_column("0")


def place_in(
    tab: Tab, dialect: str, now: ColumnElement[float]
) -> tuple[ColumnElement[bool], ColumnElement[float]]:
    """Which runs are in a tab, and the time by which they are ordered, as its index has both."""
    if tab is Tab.LIVE:
        return _t.expires_at.is_(None), _t.started_at
    if tab is Tab.ENDED:
        return _t.expires_at > now, _t.expires_at
    if dialect in _OF_MYSQL:
        which = literal_column("tab", String()) == literal_column(f"'{tab.value}'")
        at: ColumnElement[float] = literal_column("tab_at", Double())
        return (which if tab is Tab.PAUSED else which & (at > now)), at
    if tab is Tab.PAUSED:
        return _IS_PAUSED, _t.started_at
    return (_t.expires_at > now) & _has_failed(dialect), _t.expires_at


def make_tab_indexes(engine: Engine) -> None:
    """Create the indexes, unless they are there.

    Listings are right without them, only slower, except in MySQL.
    """
    dialect = engine.dialect.name
    look = _LOOK.get(dialect)
    if look is None:
        return
    try:
        with engine.connect() as connection:
            if connection.execute(text(look)).first() is not None:
                return
            for index in _INDEXES.get(dialect, ()):
                connection.execute(CreateIndex(index, if_not_exists=True))
            if dialect in _OF_MYSQL:
                connection.execute(_ddl(_MYSQL))
    except DBAPIError as exc:
        if any(sign in str(exc.orig).lower() for sign in _THERE):
            return  # another process was quicker by a moment
        logger.warning(
            "The indexes of paused and failed runs could not be added to the table graceful_runs"
            " (%s): lists of these are slow. Have the owner of the table start a worker once.",
            mask_text(" ".join(str(exc.orig).split()), engine.url.render_as_string(False)),
        )


def _has_failed(dialect: str) -> ColumnElement[bool]:
    return contains(_t.extra, literal_column(_MARK), dialect)


def _indexes(dialect: str) -> Iterator[Index]:
    failed = _t.expires_at.is_not(None) & _has_failed(dialect)
    for name, at, which in (
        ("graceful_runs_paused", _t.started_at, _IS_PAUSED),
        ("graceful_runs_failed", _t.expires_at, failed),
    ):
        where: Any = {f"{dialect}_where": which}
        yield Index(name, _t.namespace, at, _t.task, _t.id, **where).ddl_if(dialect)


_INDEXES: Final = {dialect: [*_indexes(dialect)] for dialect in ("postgresql", "sqlite")}
