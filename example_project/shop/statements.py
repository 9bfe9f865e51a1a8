"""The nightly aggregate: a statement for each customer, and the day's total in the carry."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from celery_graceful import IterableTask, iterable_task
from shop import database

__all__ = ["nightly_statements"]

_PAGE = 200

_UPSERT = """
INSERT INTO statements (customer_id, day, cents) VALUES (?, ?, ?)
ON CONFLICT (customer_id, day) DO UPDATE SET cents = excluded.cents
"""


class NightlyStatements(IterableTask):
    """Sum each customer's orders of one day; returns the sum over all customers.

    ``day`` is a date such as ``2026-01-31``; left out, as beat does, it is yesterday.
    """

    name = "shop.nightly_statements"

    def build_enumerator(
        self, day: str | None = None, *, cursor: int | None
    ) -> Iterator[tuple[int, int]]:
        # Fixed by the first execution: one that resumes after midnight must not change the day.
        self.carry.setdefault("day", day or _yesterday())
        return _customers(after=cursor or 0)

    def each_iteration(self, customer_id: int, day: str | None = None) -> None:
        with database.connect() as db:
            row = db.execute(
                "SELECT sum(cents) FROM orders WHERE customer_id = ? AND day = ?",
                (customer_id, self.carry["day"]),
            ).fetchone()
            cents = row[0] or 0
            if cents:
                db.execute(_UPSERT, (customer_id, self.carry["day"], cents))
        self.carry["cents"] = self.carry.get("cents", 0) + cents

    def count(self, day: str | None = None) -> int:
        with database.connect() as db:
            return int(db.execute("SELECT count(*) FROM customers").fetchone()[0])

    def result(self, day: str | None = None) -> dict[str, Any]:
        return {"day": self.carry["day"], "cents": self.carry.get("cents", 0)}


nightly_statements = iterable_task(NightlyStatements)


def _customers(after: int) -> Iterator[tuple[int, int]]:
    while True:
        with database.connect() as db:
            page = db.execute(
                "SELECT id FROM customers WHERE id > ? ORDER BY id LIMIT ?", (after, _PAGE)
            ).fetchall()
        if not page:
            return
        for row in page:
            yield row["id"], row["id"]
        after = page[-1]["id"]


def _yesterday() -> str:
    return (datetime.now(timezone.utc) - timedelta(days=1)).date().isoformat()
