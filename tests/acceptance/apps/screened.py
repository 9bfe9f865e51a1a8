"""A shop whose runs a person looks after on the screen: slow, failing, with bad rows, short."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Literal

from celery_graceful import IterableTask
from tests.acceptance.apps.making import app_ledger, make_app, noted

app = make_app("shop")

PAUSE = 0.05
#: Rows that cannot be read until somebody notes the file's name and ``is fixed``.
BAD_ROWS = (3, 8)
#: The invoice that cannot be sent until somebody notes the same.
BAD_INVOICE = 40


class _Counted(IterableTask):
    """Items by number, from 1 on."""

    checkpoint_interval = 0.2
    items = 5000
    pause = PAUSE

    def build_enumerator(self, *_: Any, cursor: int | None, **__: Any) -> Iterator[tuple[int, int]]:
        return ((number, number) for number in range((cursor or 0) + 1, self.items + 1))

    def count(self, *_: Any, **__: Any) -> int:
        return self.items

    def each_iteration(self, number: int, *_: Any, **__: Any) -> None:
        app_ledger().add(f"{self.request.id}:{number}")
        time.sleep(self.pause)


@app.register_task
class ImportOrders(_Counted):
    """Slow: it lasts longer than any test."""

    name = "shop.import_orders"
    graceful_mask = ("password",)

    def each_iteration(self, number: int, *args: Any, **kwargs: Any) -> None:
        self.carry["rows"] = self.carry.get("rows", 0) + 1
        super().each_iteration(number, *args, **kwargs)


@app.register_task
class SendInvoices(_Counted):
    """Fails at an invoice."""

    name = "shop.send_invoices"
    items = 60
    pause = 0.005

    def each_iteration(self, number: int, *args: Any, **kwargs: Any) -> None:
        if number == BAD_INVOICE and not noted(f"{args[0]} is fixed"):
            raise ValueError(f"invoice {number} has no address")
        super().each_iteration(number, *args, **kwargs)


@app.register_task
class ImportCustomers(_Counted):
    """Quarantines bad rows, and continues."""

    name = "shop.import_customers"
    max_failed_items = 10
    items = 12
    pause = 0.005

    def each_iteration(self, number: int, *args: Any, **kwargs: Any) -> None:
        if number in BAD_ROWS and not noted(f"{args[0]} is fixed"):
            raise ValueError(f"row {number}: “{number}@” is no e-mail address")
        super().each_iteration(number, *args, **kwargs)


@app.register_task
class Reindex(IterableTask):
    """Short; its arguments are of every kind that a form knows."""

    name = "shop.reindex"

    def build_enumerator(
        self,
        since: date,
        limit: int = 20,
        mode: Literal["changed", "all"] = "changed",
        source: Path | None = None,
        weights: dict[str, float] | None = None,
        verbose: bool = False,
        *,
        cursor: int | None,
    ) -> Iterator[tuple[int, int]]:
        return ((number, number) for number in range((cursor or 0) + 1, limit + 1))

    def count(self, *_: Any, **__: Any) -> int:
        return 20

    def each_iteration(self, number: int, *_: Any, **__: Any) -> None:
        app_ledger().add(f"{self.request.id}:{number}")
