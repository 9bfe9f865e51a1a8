"""A CSV import, in class style."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from celery_graceful import IterableTask, iterable_task, sources
from shop import database

__all__ = ["import_products"]

_UPSERT = """
INSERT INTO products (sku, title, cents) VALUES (:sku, :title, :cents)
ON CONFLICT (sku) DO UPDATE SET title = excluded.title, cents = excluded.cents
"""


class ImportProducts(IterableTask):
    """Write each row of a CSV file (``sku,title,price``) into the products table.

    The cursor is the place in the file behind the row, so that resuming does not read the file
    again. An upsert does no harm when it is repeated, as a row may be after a crash.
    """

    name = "shop.import_products"

    def build_enumerator(self, path: str, *, cursor: int | None) -> Iterable[tuple[Any, int]]:
        return sources.csv_rows(path, cursor=cursor)

    def each_iteration(self, row: dict[str, str], path: str) -> None:
        try:
            product = {"sku": row["sku"], "title": row["title"], "cents": _cents(row["price"])}
        except ValueError:
            # Wrong data does not get better by retrying: counted, and the import goes on.
            self._count("rejected")
            return
        with database.connect() as db:
            db.execute(_UPSERT, product)
        self._count("imported")

    def count(self, path: str) -> int:
        return sources.csv_count(path)

    def result(self, path: str) -> dict[str, int]:
        return {name: self.carry.get(name, 0) for name in ("imported", "rejected")}

    def _count(self, name: str) -> None:
        self.carry[name] = self.carry.get(name, 0) + 1


import_products = iterable_task(ImportProducts)


def _cents(price: str) -> int:
    units, _, cents = price.partition(".")
    return int(units) * 100 + int(cents.ljust(2, "0") or 0)
