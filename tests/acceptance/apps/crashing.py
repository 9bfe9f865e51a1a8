"""Iterable tasks whose items kill their process, raise, or take longer than a lease."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

from celery_graceful import IterableTask, iterable_task, signals
from tests.acceptance.apps.making import make_app, note
from tests.harness.ledger import Ledger

app = make_app("crashing")


@iterable_task
class Calling(IterableTask):
    """Calls a service that has to be called once per item; two items kill the process."""

    name = "crashing.calling"
    track_in_doubt = True

    def build_enumerator(self, path: str, items: int, *, cursor: int | None) -> Any:
        return ((i, i) for i in range(0 if cursor is None else cursor + 1, items))

    def each_iteration(self, item: int, path: str, items: int) -> None:
        service = Ledger(path)
        service.add(["doubt", self.progress.in_doubt])
        if self.progress.in_doubt == item and item in service.items():
            return
        if item == 7 and not _done_before(service, "killed before"):
            os.kill(os.getpid(), signal.SIGKILL)
        service.add(item)
        if item == 12 and not _done_before(service, "killed after"):
            os.kill(os.getpid(), signal.SIGKILL)

    def result(self, path: str, items: int) -> int:
        return items


def _done_before(service: Ledger, what: str) -> bool:
    before = what in service.items()
    service.add(what)
    return before


@app.task(name="crashing.segfault", base=IterableTask)
def segfault(items: int, *, cursor: int = -1) -> Iterator[int]:
    """The item after the fifth reads where it must not."""
    for item in range(cursor + 1, items):
        if item == 5:
            ctypes.string_at(0)
        yield item


@signals.run_gave_up.connect
def tell(task: Any, **details: Any) -> None:
    """Whoever watches is told that a run fails for its crashes."""
    note(["gave up", task.name, details["task_id"], details["cursor"], details["last_crash"]])


@iterable_task
class Failing(IterableTask):
    """Every hundredth item is broken until it is fixed."""

    name = "crashing.failing"
    max_failed_items = "2%"

    def build_enumerator(self, path: str, items: int, *, cursor: int | None) -> Any:
        return ((i, i) for i in range(0 if cursor is None else cursor + 1, items))

    def each_iteration(self, item: int, path: str, items: int) -> None:
        time.sleep(0.005)
        if item % 100 == 0 and not os.path.exists(f"{path}.fixed"):
            raise ValueError(f"item {item} is broken")
        Ledger(path).add(item)
        self.carry["done"] = self.carry.get("done", 0) + 1

    def count(self, path: str, items: int) -> int:
        return items

    def result(self, path: str, items: int) -> dict[str, int]:
        return {"done": self.carry["done"], "failed": self.progress.errors}


@app.task(name="crashing.long_item", base=IterableTask)
def long_item(
    path: str, items: int, seconds: float, how: str, *, cursor: int = -1
) -> Iterator[int]:
    """Each item takes longer than a lease, and nothing else runs in its process meanwhile."""
    for item in range(cursor + 1, items):
        Ledger(path).add(item)
        if how == "holds the lock":  # no other thread runs
            ctypes.PyDLL(None).usleep(int(seconds * 1e6))
        elif how == "blocks":  # no other greenlet runs, nor the event loop of a solo worker
            ctypes.CDLL(None).usleep(int(seconds * 1e6))
        else:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                pass
        yield item
