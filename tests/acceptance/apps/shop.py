"""Atomic tasks: each item is a row in the shop's database, ``SHOP_URL``."""

from __future__ import annotations

import os
import time
from typing import Any

from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, event, insert
from sqlalchemy.orm import sessionmaker

from celery_graceful import Atomic, IterableTask
from tests.acceptance.apps.making import make_app

app = make_app("shop")
URL = os.environ.get("SHOP_URL", "sqlite://")
# SQLite has one writer at a time and no queue for the others: one of them may wait for long.
engine = create_engine(URL, connect_args={"timeout": 60} if URL.startswith("sqlite") else {})
metadata = MetaData()
#: One row for each effect; nothing is unique, so that a repeat would show.
effects = Table(
    "effects",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("run", String(64)),
    Column("kind", String(20)),
    Column("item", Integer),
    Column("pid", Integer),
)
if engine.dialect.name == "sqlite":

    @event.listens_for(engine, "connect")
    def write_ahead(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL").close()


class Book(IterableTask):
    """Notes each item, its begin and its end; some batches by number, some by time."""

    abstract = True

    def build_enumerator(self, items: int, pause: float, *, cursor: int | None) -> Any:
        for item in range(0 if cursor is None else cursor + 1, items):
            yield item, item

    def each_iteration(self, item: int, items: int, pause: float) -> None:
        self.note("item", item)
        time.sleep(pause)
        self.carry["sum"] = self.carry.get("sum", 0) + item

    def on_start(self, items: int, pause: float) -> None:
        self.note("start", 0)

    def on_complete(self, items: int, pause: float) -> None:
        self.note("complete", 0)

    def result(self, items: int, pause: float) -> dict[str, Any]:
        return {"id": self.request.id, "sum": self.carry.get("sum", 0)}

    def note(self, kind: str, item: int) -> None:
        row = {"run": self.request.id, "kind": kind, "item": item, "pid": os.getpid()}
        self.transaction.session.execute(insert(effects), row)


class ByNumber(Book):
    name = "shop.by_number"
    atomic = Atomic.sqlalchemy(sessionmaker(engine), every=7)


class ByTime(Book):
    name = "shop.by_time"
    atomic = Atomic.sqlalchemy(sessionmaker(engine), every="50ms")


app.register_task(ByNumber())
app.register_task(ByTime())
