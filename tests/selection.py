"""Which tests run: all of them with ``--all``, else a selection that covers each case once.

Without ``--all``, tests and parameters marked ``matrix`` are deselected, and a test with the
fixture ``broker_url`` runs on Redis, or on the brokers that its marker ``brokers`` names. A test
that is named by its id on the command line always runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations, product
from typing import Any

import pytest

BROKER = "broker_url"
DEFAULT_BROKERS = ("redis",)
ALL_BROKERS = ("redis", "rabbitmq")


def add_option(parser: pytest.Parser) -> None:
    """Add the option ``--all``."""
    parser.addoption(
        "--all", action="store_true", help="run the whole matrix: all brokers, all combinations"
    )


def deselect(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take what is not selected out of ``items``, and add the markers that brokers imply."""
    for item in items:
        if _broker(item) == "rabbitmq":
            item.add_marker("rabbitmq")
    if config.getoption("all"):
        return
    named = [argument for argument in config.args if "::" in argument]
    dropped = [i for i in items if not is_selected(i) and not _is_named(i.nodeid, named)]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        gone = set(dropped)
        items[:] = [item for item in items if item not in gone]


def is_selected(item: pytest.Item) -> bool:
    """Whether a test belongs to the selection that runs without ``--all``."""
    if item.get_closest_marker("matrix"):
        return False
    broker = _broker(item)
    if broker is None:
        return True
    marker = item.get_closest_marker("brokers")
    return broker in (marker.args if marker else DEFAULT_BROKERS)


def _broker(item: pytest.Item) -> str | None:
    """The kind of broker that a test gets from ``broker_url``."""
    callspec = getattr(item, "callspec", None)
    return None if callspec is None else callspec.params.get(BROKER)


def _is_named(nodeid: str, named: Iterable[str]) -> bool:
    """Whether one of the arguments names this test, with or without its parameters."""
    for argument in named:
        path, _, name = argument.partition("::")
        file, _, own = nodeid.partition("::")
        if path.endswith(file) and (own == name or own.startswith((f"{name}[", f"{name}::"))):
            return True
    return False


def rows(chosen: Iterable[tuple[Any, ...]], rest: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Rows of parameters of which ``rest`` are marked ``matrix``; brokers in them are as chosen."""
    any_broker = pytest.mark.brokers(*ALL_BROKERS)
    return [
        *(pytest.param(*row, marks=any_broker) for row in chosen),
        *(pytest.param(*row, marks=pytest.mark.matrix) for row in rest),
    ]


def pairwise(**axes: Sequence[Any]) -> list[Any]:
    """All combinations as parameters; those that add no new pair of values are marked ``matrix``.

    Args:
        axes: the values by the names of the parameters, in their order. A value may be a
            ``pytest.param`` with an id.

    Returns:
        For ``parametrize``: a parameter for each combination.
    """
    values = [[v if _is_param(v) else pytest.param(v, id=str(v)) for v in a] for a in axes.values()]
    ids = [[str(v.id) for v in axis] for axis in values]
    chosen = covering(ids)
    found = []
    for row in product(*values):
        name = tuple(str(v.id) for v in row)
        marks = [mark for v in row for mark in v.marks]
        marks.append(pytest.mark.brokers(*ALL_BROKERS) if name in chosen else pytest.mark.matrix())
        found.append(pytest.param(*(v.values[0] for v in row), id="-".join(name), marks=marks))
    return found


def covering(axes: Sequence[Sequence[str]]) -> set[tuple[str, ...]]:
    """Few combinations in which any two values of different axes meet at least once."""
    rows = list(product(*axes))
    missing = {pair for row in rows for pair in _pairs(row)}
    chosen = set()
    while missing:
        best = max(rows, key=lambda row: len(missing & _pairs(row)))  # the first of the best
        chosen.add(best)
        missing -= _pairs(best)
    return chosen


def _pairs(row: tuple[str, ...]) -> set[tuple[tuple[int, str], ...]]:
    """The pairs of values in a combination; the values themselves where there is one axis."""
    return set(combinations(enumerate(row), min(2, len(row))))


def _is_param(value: Any) -> bool:
    return isinstance(value, type(pytest.param()))
