"""Tasks with one bug each, and what the test kit has to say of it."""

# mypy: allow-untyped-decorators, disable-error-code="no-untyped-def, no-untyped-call"
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from celery_graceful import IterableTask

#: Every task here has this many items.
N = 5


class Case(NamedTuple):
    """A task in an app, the options to examine it with, and parts of the message."""

    make: Callable[[Any], tuple[Any, dict[str, Any]]]
    says: tuple[str, ...]


PLANTED: dict[str, Case] = {}


def planted(*says: str) -> Callable[..., Any]:
    """Enter a maker of a faulty task in the table."""

    def enter(make: Any) -> Any:
        PLANTED[make.__name__] = Case(make, says)
        return make

    return enter


class Numbers(IterableTask):
    """The right way; the cases change one thing each."""

    abstract = True

    def build_enumerator(self, n, *, cursor):
        return ((i, i) for i in range(0 if cursor is None else cursor + 1, n))

    def each_iteration(self, item, n):
        self.carry["sum"] = self.carry.get("sum", 0) + item

    def result(self, n):
        return self.carry.get("sum", 0)
