"""Named texts, in a table of a SQL database."""

from __future__ import annotations

import logging
import re
from typing import Any

from sqlalchemy import (
    Connection,
    Double,
    Engine,
    and_,
    bindparam,
    delete,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from celery_graceful.errors import StoreError
from celery_graceful.stores import codec
from celery_graceful.stores.base import Text
from celery_graceful.stores.codec import utf8, whole
from celery_graceful.stores.sql.calls import SqlCalls
from celery_graceful.stores.sql.tables import texts
from celery_graceful.stores.unread import unread_text
from celery_graceful.text import strict_json

logger = logging.getLogger("celery_graceful.stores")

#: Every so many expiring texts the store deletes up to ``_FORGET_AT_ONCE`` that have expired.
_FORGET_EVERY = 50
_FORGET_AT_ONCE = 200
#: Texts that one statement reads.
_READ_AT_ONCE = 100

_t = texts.c
_UNREADABLE = (ValueError, TypeError, AttributeError, ArithmeticError)


class SqlTexts(SqlCalls):
    """What a store does for named texts."""

    def __init__(self, engine: Engine, namespace: str, *, address: str) -> None:
        super().__init__(engine, namespace, address=address)
        self._expiring_written = 0
        now = self._now
        of_kind = and_(_t.namespace == bindparam("ns"), _t.kind == bindparam("of"))
        mine = and_(of_kind, _t.name == bindparam("named"))
        alive = or_(_t.expires_at.is_(None), _t.expires_at > self._moment)
        expired = and_(of_kind, _t.expires_at <= self._moment)
        one = select(literal(1).label("one")).subquery()
        columns = (now.label("now"), _t.name, _t.version, _t.text, _t.written_at)
        # One row in any case, since it answers the time too.
        self._read_text = select(*columns).select_from(one.outerjoin(texts, mine & alive))
        written: dict[str, Any] = {
            "version": bindparam("new_version"),
            "text": bindparam("new_text"),
            "written_at": now,
            "expires_at": now + bindparam("keep", type_=Double),
        }
        change = update(texts).where(mine).values(**written)
        self._renew_text = self._timed(change)
        self._replace_text = self._timed(change.where(alive, _t.version == bindparam("expected")))
        self._revive_text = self._timed(change.where(_t.expires_at <= self._moment))
        key: dict[str, Any] = {
            "namespace": bindparam("ns"),
            "kind": bindparam("of"),
            "name": bindparam("named"),
        }
        self._insert_text = self._timed(insert(texts).values(**key, **written))
        self._first_texts = (
            select(*columns).where(of_kind, alive).order_by(_t.name).limit(_READ_AT_ONCE)
        )
        self._more_texts = self._first_texts.where(_t.name > bindparam("after"))
        self._delete_text = delete(texts).where(mine)
        self._expired_texts = select(_t.name).where(expired).limit(_FORGET_AT_ONCE)
        self._forget_texts = delete(texts).where(
            expired, _t.name.in_(bindparam("gone", expanding=True))
        )

    def read_text(self, kind: str, name: str) -> Text:
        with self._connected(_shown(kind, name)) as connection:
            row = connection.execute(self._read_text, self._named_text(kind, name)).one()
        try:
            return Text(name, "", 0, 0.0, row.now) if row.version is None else _text(row)
        except _UNREADABLE as exc:
            raise unread_text(f"{_shown(kind, name)} of {self._address}", exc) from exc

    def write_text(
        self,
        kind: str,
        name: str,
        text: str,
        *,
        expected: int | None = None,
        version: int | None = None,
        keep: float | None = None,
    ) -> Text | None:
        version = version or (expected or 0) + 1
        given = {**self._named_text(kind, name), "new_version": version, "new_text": utf8(text)}
        given["keep"] = keep
        if expected:
            given["expected"] = expected
        with self._connected(_shown(kind, name)) as connection:
            if expected == 0:
                now = self._insert(connection, self._revive_text, given)
            else:
                change = self._replace_text if expected else self._renew_text
                now = self._write(connection, change, given)
                if now is None and expected is None:
                    now = self._insert(connection, self._renew_text, given)
        if keep is not None:
            self._forget_texts_sometimes(kind)
        return None if now is None else Text(name, text, version, now, now)

    def delete_text(self, kind: str, name: str) -> None:
        with self._connected(_shown(kind, name)) as connection:
            connection.execute(self._delete_text, self._named_text(kind, name))

    def texts(self, kind: str) -> list[Text]:
        given = {**self._given(), "of": kind}
        with self._connected(f"the {kind}") as connection:
            rows = page = list(connection.execute(self._first_texts, given))
            while len(page) == _READ_AT_ONCE:
                more = {**given, "after": page[-1].name}
                page = list(connection.execute(self._more_texts, more))
                rows += page
        found = []
        for row in rows:
            try:
                found.append(_text(row))
            except _UNREADABLE as exc:
                # Its writer, if it lives, soon writes the next one.
                where = f"{_shown(kind, row.name)} of {self._address}"
                self._skipped.warn_text(where, exc)
        return sorted(found)

    def _named_text(self, kind: str, name: str) -> dict[str, Any]:
        return {**self._given(), "of": kind, "named": _quoted(name)}

    def _insert(
        self, connection: Connection, otherwise: Any, given: dict[str, Any]
    ) -> float | None:
        try:
            return self._write(connection, self._insert_text, given)
        except IntegrityError:
            # Another writer was quicker, or nobody has deleted yet what has expired.
            return self._write(connection, otherwise, given)

    def _forget_texts_sometimes(self, kind: str) -> None:
        self._expiring_written += 1
        if self._expiring_written % _FORGET_EVERY != 1:
            return
        try:
            with self._connected("expired texts") as connection:
                given = {**self._given(), "of": kind}
                gone = list(connection.execute(self._expired_texts, given).scalars())
                if gone:
                    connection.execute(self._forget_texts, {**given, "gone": gone})
        except StoreError as exc:
            # The text itself is written, and the next ones will try again.
            logger.warning("Expired texts could not be deleted: %s", exc)


def _text(row: Any) -> Text:
    """The text in a row; raises one of :data:`_UNREADABLE`."""
    version = strict_json.whole(whole(row.version), "its version")
    written_at = strict_json.number(row.written_at, "when it was written")
    return Text(_unquoted(row.name), codec.text(row.text), version, written_at, float(row.now))


def _shown(kind: str, name: str) -> str:
    return f"{name:.200} of {kind} in graceful_texts"


def _quoted(name: str) -> str:
    # Not every database takes these characters.
    return re.sub("[%\x00\ud800-\udfff]", lambda found: f"%{ord(found[0]):04x}", name)


def _unquoted(name: str) -> str:
    return re.sub("%([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), name)
