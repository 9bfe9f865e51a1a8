"""The notice board, in two tables of a SQL database."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Double,
    and_,
    bindparam,
    case,
    delete,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from celery_graceful.errors import StoreError
from celery_graceful.stores.board import Attendance, Notice
from celery_graceful.stores.codec import text, utf8, whole
from celery_graceful.stores.sql.statements import Statements
from celery_graceful.stores.sql.tables import notices, reports
from celery_graceful.text import strict_json

logger = logging.getLogger("celery_graceful.stores")

#: Every so many reports the store deletes up to ``_FORGET_AT_ONCE`` that have expired.
_FORGET_EVERY = 50
_FORGET_AT_ONCE = 200
#: Reports that one statement reads.
_READ_AT_ONCE = 100

_n, _r = notices.c, reports.c
_UNREADABLE = (ValueError, TypeError, AttributeError, ArithmeticError)


class SqlBoard:
    """The statements on ``graceful_notices`` and ``graceful_reports``, and what is asked of them.

    Args:
        statements: Those of the store, which know the time.
        connected: Connects, in autocommit mode, to do what is said, and translates errors.
        given: The parameters of every statement: the namespace, and the time if need be.
        unread: Makes the error for a place that does not hold what is written here, and why.
    """

    def __init__(
        self,
        statements: Statements,
        connected: Callable[[str], AbstractContextManager[Connection]],
        given: Callable[[], dict[str, Any]],
        unread: Callable[[str, object], StoreError],
    ) -> None:
        self._connected = connected
        self._given = given
        self._unread = unread
        self._attended = 0
        #: Workers whose unreadable reports the log has told of.
        self._told: set[object] = set()
        self._sql = statements
        now = statements.clock
        named = and_(_n.namespace == bindparam("ns"), _n.name == bindparam("named"))
        mine = and_(_r.namespace == bindparam("ns"), _r.worker == bindparam("me"))
        one = select(literal(1).label("one")).subquery()
        # One row in any case, since it tells the time too.
        self._read = select(
            now.label("now"),
            _n.version,
            case((_n.version != bindparam("known", type_=BigInteger), _n.text)).label("text"),
        ).select_from(one.outerjoin(notices, named))
        content: dict[str, Any] = {
            "version": bindparam("new_version"),
            "text": bindparam("new_text"),
        }
        self._replace = statements.telling(
            update(notices).where(named, _n.version == bindparam("expected")).values(**content)
        )
        self._insert = statements.telling(
            insert(notices).values(namespace=bindparam("ns"), name=bindparam("named"), **content)
        )
        written = {
            "report": bindparam("new_report"),
            "written_at": now,
            "expires_at": now + bindparam("keep", type_=Double),
        }
        self._renew = update(reports).where(mine).values(**written)
        self._begin = insert(reports).values(
            namespace=bindparam("ns"), worker=bindparam("me"), **written
        )
        self._first = (
            select(_r.worker, _r.report, _r.written_at, now.label("now"))
            .where(_r.namespace == bindparam("ns"), _r.expires_at > statements.moment)
            .order_by(_r.worker)
            .limit(_READ_AT_ONCE)
        )
        self._onward = self._first.where(_r.worker > bindparam("after"))
        self._leave = delete(reports).where(mine)
        expired = and_(_r.namespace == bindparam("ns"), _r.expires_at <= statements.moment)
        self._expired = select(_r.worker).where(expired).limit(_FORGET_AT_ONCE)
        self._forget = delete(reports).where(
            expired, _r.worker.in_(bindparam("gone", expanding=True))
        )

    def read_notice(self, name: str) -> Notice:
        """The notice of this name."""
        with self._connected(f"the notice {name}") as connection:
            return self._notice(connection, name, -1)

    def post_notice(
        self, name: str, expected: int, text: str, *, version: int | None = None
    ) -> Notice | None:
        """Replace a notice of the version ``expected``."""
        version = version or expected + 1
        values = {"named": _quoted(name), "new_version": version, "new_text": utf8(text)}
        with self._connected(f"the notice {name}") as connection:
            given = {**self._given(), **values}
            try:
                if expected:
                    guarded = {**given, "expected": expected}
                    now = self._sql.write(connection, self._replace, guarded)
                else:
                    now = self._sql.write(connection, self._insert, given)
            except IntegrityError:
                return None  # another was first
        return None if now is None else Notice(version, text, now)

    def attend(self, worker: str, report: str, *, keep: float, notice: str, known: int) -> Notice:
        """Write a report, then read a notice.

        Not in one transaction: that would read before others can see what it wrote.
        """
        with self._connected(f"the report of {worker}") as connection:
            self._write(connection, worker, report, keep)
            found = self._notice(connection, notice, known)
        self._forget_sometimes()
        return found

    def attendance(self) -> list[Attendance]:
        """The reports that can be read, by the name of the worker.

        A live worker soon writes the next one, and answers over the broker.
        """
        with self._connected("the reports of workers") as connection:
            rows = page = list(connection.execute(self._first, self._given()))
            while len(page) == _READ_AT_ONCE:
                after = {**self._given(), "after": page[-1].worker}
                page = list(connection.execute(self._onward, after))
                rows += page
        read = [self._attendance(row) for row in rows]
        return sorted(it for it in read if it is not None)

    def _attendance(self, row: Any) -> Attendance | None:
        try:
            written_at = strict_json.number(row.written_at, "when it was written")
            age = max(0.0, float(row.now) - written_at)
            found = Attendance(_unquoted(row.worker), text(row.report), age)
        except _UNREADABLE as exc:
            self._tell(row.worker, exc)
            return None
        self._told.discard(row.worker)
        return found

    def _tell(self, worker: object, why: object) -> None:
        if worker not in self._told:
            self._told.add(worker)
            logger.error(
                "The report of %.200r in graceful_reports cannot be read and is passed over: %s",
                worker,
                why,
            )

    def leave(self, worker: str) -> None:
        """Forget a report."""
        with self._connected(f"the report of {worker}") as connection:
            connection.execute(self._leave, {**self._given(), "me": _quoted(worker)})

    def _write(self, connection: Connection, worker: str, report: str, keep: float) -> None:
        values = {"me": _quoted(worker), "new_report": utf8(report), "keep": keep}
        given = {**self._given(), **values}
        if connection.execute(self._renew, given).rowcount:
            return
        try:
            connection.execute(self._begin, given)
        except IntegrityError:
            # Another thread of the worker was quicker.
            if not connection.execute(self._renew, given).rowcount:
                raise

    def _notice(self, connection: Connection, name: str, known: int) -> Notice:
        given = {**self._given(), "named": _quoted(name), "known": known}
        rows = connection.execute(self._read, given)
        try:
            row = rows.one()
            if row.version is None:
                return Notice(0, "", row.now)
            version = strict_json.whole(whole(row.version), "its version")
            return Notice(version, "" if version == known else text(row.text), row.now)
        except _UNREADABLE as exc:
            raise self._unread(f"the notice {name} in graceful_notices", exc) from exc

    def _forget_sometimes(self) -> None:
        self._attended += 1
        if self._attended % _FORGET_EVERY != 1:
            return
        try:
            with self._connected("expired reports") as connection:
                given = self._given()
                gone = list(connection.execute(self._expired, given).scalars())
                if gone:
                    connection.execute(self._forget, {**given, "gone": gone})
        except StoreError as exc:
            # The report itself is written, and the next ones will try again.
            logger.warning("Expired reports could not be deleted: %s", exc)


def _quoted(name: str) -> str:
    # Not every database takes these characters.
    return re.sub("[%\x00\ud800-\udfff]", lambda found: f"%{ord(found[0]):04x}", name)


def _unquoted(name: str) -> str:
    return re.sub("%([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), name)
