"""The import of the products, and of what the warehouse has of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from celery import shared_task

from celery_graceful import GracefulTask, IterableTask, iterable_task, sources
from products.airports import Rejected, airports_csv, product_of
from products.models import Product
from products.warehouse import tunnel_to_warehouse


class ImportProducts(IterableTask):
    """Write each row of a CSV file into the table of products, a hundred rows at a time.

    The cursor is the place in the file behind the last row, so that resuming does not read the
    file again. An upsert does no harm when it is repeated, as a batch may be after a crash.
    """

    name = "shop.import_products"

    def build_enumerator(self, path: str | None = None, *, cursor: Any) -> Iterable[Any]:
        rows = sources.csv_rows(path or airports_csv(), cursor=cursor)
        return sources.batched(rows, 100)

    def each_iteration(self, rows: list[dict[str, str]], path: str | None = None) -> None:
        products, rejected = [], 0
        for row in rows:
            try:
                products.append(product_of(row))
            except Rejected:
                # Wrong data does not get better by retrying: counted, and the import continues.
                rejected += 1
        Product.objects.bulk_create(
            products,
            update_conflicts=True,
            unique_fields=["sku"],
            update_fields=["title", "city", "country", "price"],
        )
        self.carry["imported"] = self.carry.get("imported", 0) + len(products)
        self.carry["rejected"] = self.carry.get("rejected", 0) + rejected

    def result(self, path: str | None = None) -> dict[str, int]:
        return {name: self.carry.get(name, 0) for name in ("imported", "rejected")}


import_products = iterable_task(ImportProducts)


@shared_task(name="shop.sync_stock", base=GracefulTask, acks_late=True)  # may run twice
def sync_stock() -> dict[str, int]:
    """Copy how many pieces of each product the warehouse has; returns the number of products."""
    with tunnel_to_warehouse() as warehouse:
        stock = dict(warehouse.execute("SELECT sku, pieces FROM stock").fetchall())
    products = list(Product.objects.filter(sku__in=stock))
    for product in products:
        product.pieces = stock[product.sku]
    Product.objects.bulk_update(products, ["pieces"], batch_size=500)
    return {"products": len(products)}
