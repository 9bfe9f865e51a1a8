"""Sample data, always the same."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta, timezone
from pathlib import Path

from shop import database

__all__ = ["fill", "write_products"]


def fill(customers: int) -> None:
    """Create the tables with so many customers and two orders for each of them yesterday."""
    database.create()
    yesterday = (datetime.now(timezone.utc) - timedelta(days=1)).date().isoformat()
    numbers = range(1, customers + 1)
    with database.connect() as db:
        for table in ("statements", "orders", "customers"):
            db.execute(f"DELETE FROM {table}")
        db.executemany(
            "INSERT INTO customers VALUES (?, ?, ?)",
            [(n, f"Customer {n}", f"customer{n}@example.com") for n in numbers],
        )
        db.executemany(
            "INSERT INTO orders (customer_id, day, cents) VALUES (?, ?, ?)",
            [(n, yesterday, cents) for n in numbers for cents in (100 + n, 250)],
        )


def write_products(path: str, rows: int) -> None:
    """Write a CSV file with so many products; every thousandth has no price."""
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["sku", "title", "price"])
        for n in range(1, rows + 1):
            price = "ask us" if n % 1000 == 0 else f"{n % 90}.{n % 100:02}"
            table.writerow([f"SKU-{n:06}", f"Thing, number {n}", price])
