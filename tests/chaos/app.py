"""The application of the chaos run: plain runs and atomic ones."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator
from importlib import import_module
from typing import Any

from celery_graceful import IterableTask, iterable_task
from celery_graceful.execution.owned import owned_run
from tests.acceptance.apps.making import make_app
from tests.chaos.journal import Journal
from tests.chaos.ledger import Ledger, row

app = make_app("chaos")
# On RabbitMQ a worker that has reconnected would leave children idle until its present runs end.
app.conf.worker_enable_prefetch_count_reduction = False
Journal(os.environ["CHAOS_JOURNAL"]).listen()
ledger = Ledger(os.environ["CHAOS_DATABASE"])


def fence_of(task: Any) -> int:
    """The fence under which ``task`` runs: the plugin keeps it to itself, a test may look."""
    run = owned_run(task.request)
    assert run is not None
    return run.ticket.fence


class Odd(BaseException):
    """Of the user's own."""


def exit_at(item: int, exits: int | None) -> None:
    """After its row is written, the item raises what is no ``Exception``."""
    if item == exits:
        raise (SystemExit(3), KeyboardInterrupt(), Odd(), GeneratorExit())[item % 4]


@app.task(name="chaos.generator", base=IterableTask, bind=True)
def generator(
    self: Any, items: int, pause: float, exits: int | None = None, *, cursor: int = -1
) -> Generator[int, None, dict[str, Any]]:
    """Items that take ``pause`` seconds and leave one row each; returns their sum."""
    for item in range(cursor + 1, items):
        time.sleep(pause)
        ledger.write(row(str(self.request.id), item, "plain", fence_of(self)))
        exit_at(item, exits)
        self.carry["sum"] = self.carry.get("sum", 0) + item
        yield item
    return {"id": self.request.id, "sum": self.carry.get("sum", 0)}


@iterable_task
class Enumerated(IterableTask):
    """The same as a class."""

    name = "chaos.class"

    def build_enumerator(
        self, items: int, pause: float, exits: int | None = None, *, cursor: int | None
    ) -> Iterator[tuple[int, int]]:
        for item in range(0 if cursor is None else cursor + 1, items):
            yield item, item

    def each_iteration(self, item: int, items: int, pause: float, exits: int | None = None) -> None:
        time.sleep(pause)
        ledger.write(row(str(self.request.id), item, "plain", fence_of(self)))
        exit_at(item, exits)
        self.carry["sum"] = self.carry.get("sum", 0) + item

    def result(self, items: int, pause: float, exits: int | None = None) -> dict[str, Any]:
        return {"id": self.request.id, "sum": self.carry.get("sum", 0)}


in_transaction = import_module(f"tests.chaos.items_of_{os.environ['CHAOS_ATOMIC']}")


@app.task(
    name="chaos.atomic",
    base=IterableTask,
    bind=True,
    atomic=in_transaction.ATOMIC,
    autoretry_for=in_transaction.ERRORS,
    max_retries=None,
    default_retry_delay=0,
)
def atomic(
    self: Any, items: int, pause: float, exits: int | None = None, *, cursor: int = -1
) -> Generator[int, None, dict[str, Any]]:
    """The same, its rows in one transaction with its checkpoints."""
    for item in range(cursor + 1, items):
        time.sleep(pause)
        in_transaction.write(self, row(str(self.request.id), item, "atomic", fence_of(self)))
        exit_at(item, exits)
        self.carry["sum"] = self.carry.get("sum", 0) + item
        yield item
    return {"id": self.request.id, "sum": self.carry.get("sum", 0)}
