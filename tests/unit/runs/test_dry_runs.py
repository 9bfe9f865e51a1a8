"""``dry_run`` as a parameter: who knows it, and how it may be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from celery_graceful import IterableTask
from celery_graceful.runs.oneoff.dry_runs import dry_run_faults, takes_dry_run
from celery_graceful.tasks.definitions import faults_of


def build(self: Any, path: str, *, cursor: Any) -> Any: ...
def build_any(self: Any, *args: Any, cursor: Any) -> Any: ...
def build_dry(self: Any, path: str, dry_run: bool, *, cursor: Any) -> Any: ...


def without(self: Any, item: Any, path: str) -> None: ...
def by_name(self: Any, item: Any, path: str, *, dry_run: bool = False) -> None: ...
def behind(self: Any, item: Any, path: str, dry_run: bool = False) -> None: ...
def too_early(self: Any, item: Any, dry_run: bool = False, path: str = "") -> None: ...
def no_default(self: Any, item: Any, path: str, *, dry_run: bool) -> None: ...
def by_place(self: Any, item: Any, dry_run: bool = False, /) -> None: ...
def collects(self: Any, item: Any, path: str, **dry_run: Any) -> None: ...


Function = Callable[..., Any]


@pytest.mark.parametrize(
    ("enumerator", "each"),
    [(build, without), (build, by_name), (build, behind), (build_any, by_name),
     (build_dry, no_default), (build, collects)],
)  # fmt: skip
def test_what_is_right(enumerator: Function, each: Function) -> None:
    assert dry_run_faults(enumerator, each) == []


@pytest.mark.parametrize(
    ("enumerator", "each", "fault"),
    [
        (build, too_early, "may be taken for dry_run"),
        (build_any, behind, "may be taken for dry_run"),
        (build, no_default, "needs a default"),
        (build, by_place, "passed by name"),
    ],
)
def test_what_is_wrong(enumerator: Function, each: Function, fault: str) -> None:
    (found,) = dry_run_faults(enumerator, each)
    assert fault in found
    assert "write `*, dry_run=False`" in found
    cls = type("Faulty", (IterableTask,), {"build_enumerator": enumerator, "each_iteration": each})
    assert any(fault in each for each in faults_of(cls, None))


def test_only_a_parameter_that_is_named_counts() -> None:
    assert takes_dry_run(by_name)
    assert not takes_dry_run(collects)
    assert not takes_dry_run(by_place)
    assert not takes_dry_run(without)
