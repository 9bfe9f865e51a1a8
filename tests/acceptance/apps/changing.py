"""A task as it is deployed several times: ``CODE`` says which release a worker has."""

from __future__ import annotations

import os
from typing import Any

from celery_graceful import IterableTask, iterable_task, sources
from tests.acceptance.apps.items import do
from tests.acceptance.apps.making import make_app

app = make_app("changing")
CODE = os.environ.get("CODE", "first")


class Import(IterableTask):
    """The first release: its cursor is a number."""

    name = "changing.import"

    def build_enumerator(self, path: str, items: int, pause: float, *, cursor: Any) -> Any:
        return sources.numbers(0, items, cursor=cursor)

    def each_iteration(self, item: int, path: str, items: int, pause: float) -> None:
        do(item, path, pause)
        self.carry["sum"] = self.carry.get("sum", 0) + item

    def result(self, path: str, items: int, pause: float) -> dict[str, Any]:
        return {"id": self.request.id, "sum": self.carry.get("sum", 0)}


class Second(Import):
    """Its cursor is a list with a number, and nobody thought of runs under way."""

    cursor_version = 2

    def build_enumerator(self, path: str, items: int, pause: float, *, cursor: Any) -> Any:
        done = None if cursor is None else cursor[0]
        return ((n, [n]) for n, _ in sources.numbers(0, items, cursor=done))


class Third(Second):
    """Somebody did."""

    def migrate_cursor(self, cursor: Any, carry: dict[str, Any], version: int) -> Any:
        return [cursor]


class Renamed(Import):
    name = "changing.import_all"
    former_names = ("changing.import",)


class Careless(Second):
    """The cursor has another meaning, and the same version."""

    cursor_version = 1


RELEASES: dict[str, type[IterableTask]] = {
    "first": Import,
    "second": Second,
    "third": Third,
    "renamed": Renamed,
    "careless": Careless,
}
iterable_task(RELEASES[CODE])
