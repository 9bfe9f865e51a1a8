"""The call that is compiled: every argument arrives as it was given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_graceful.execution.loop import call_shape, drive

from .test_loop import Source, Watch, run


def called(args: tuple[Any, ...], kwargs: dict[str, Any], around: Any = None) -> list[Any]:
    calls: list[Any] = []

    def each(*a: Any, **k: Any) -> None:
        calls.append((a, k))

    watch = Watch()
    drive(iter([("x", 1), ("y", 2)]), call_shape(each, args, kwargs, around), watch, None)
    assert (watch.done, watch.cursor) == (2, 2)
    return calls


#: Names in the loop's own code, Python's keywords, and what Python writes otherwise.
ODD = [
    "item",
    "each",
    "around",
    "turns",
    "fuse",
    "pairs",
    "place",
    "done",
    "cursor",
    "turn",
    "reached",
    "zip",
    "a0",
    "k0",
    "self",
    "cls",
    "args",
    "kwargs",
    "class",
    "from",
    "None",
    "True",
    "async",
    "await",
    "match",
    "print",
    "__debug__",
    "_",
    "ﬁ",
    "ª",
    "µ",
    "not-a-name",
]
NAMES = st.one_of(
    st.text(max_size=4),
    st.sampled_from(ODD),
)


@given(
    args=st.lists(st.integers(), max_size=4).map(tuple),
    kwargs=st.dictionaries(NAMES, st.integers(), max_size=4),
)
def test_arguments_arrive_as_given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    assert called(args, kwargs) == [(("x", *args), kwargs), (("y", *args), kwargs)]


def test_many_arguments() -> None:
    args = tuple(range(300))
    kwargs = {f"name_{i}": i for i in range(300)}
    assert called(args, kwargs)[1] == (("y", *args), kwargs)


@given(
    args=st.lists(st.integers(), max_size=2).map(tuple),
    kwargs=st.dictionaries(NAMES, st.integers(), max_size=2),
)
def test_around_gets_the_same(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    seen: list[Any] = []

    class Around:
        def __init__(self, /, *a: Any, **k: Any) -> None:
            seen.append(("in", a, k))

        def __enter__(self) -> None:
            seen.append("enter")

        def __exit__(self, *exc: object) -> None:
            seen.append("exit")

    assert len(called(args, kwargs, Around)) == 2
    assert seen[:3] == [("in", ("x", *args), kwargs), "enter", "exit"]
    assert len(seen) == 6


def test_an_error_passes_through_around() -> None:
    seen: list[Any] = []

    class Around:
        def __init__(self, item: Any) -> None:
            self.item = item

        def __enter__(self) -> None:
            pass

        def __exit__(self, kind: Any, *rest: object) -> None:
            seen.append((self.item, kind))

    def each(item: str) -> None:
        if item == "b":
            raise ValueError(item)

    watch = Watch()
    with pytest.raises(ValueError, match="b"):
        drive(iter([("a", 1), ("b", 2)]), call_shape(each, (), {}, Around), watch, None)
    assert seen == [("a", None), ("b", ValueError)]
    assert (watch.done, watch.cursor) == (1, 1)


def test_two_executions_with_the_same_shape_do_not_share_values() -> None:
    seen: list[Any] = []
    shapes = [call_shape(lambda *a, **k: seen.append((a, k)), (n,), {"k": n}) for n in (1, 2)]
    for turns in shapes:
        drive(iter([("x", 0)]), turns, Watch(), None)
    assert seen == [(("x", 1), {"k": 1}), (("x", 2), {"k": 2})]


def traceback_of(work: Callable[[], None]) -> list[str]:
    try:
        work()
    except ValueError as exc:
        names, trace = [], exc.__traceback__
        while trace is not None:
            names.append(trace.tb_frame.f_code.co_filename)
            trace = trace.tb_next
        return names
    raise AssertionError("no error")


def test_the_traceback_ends_in_the_users_code() -> None:
    watch = Watch()
    source = Source(2, watch, fail_at=2)
    names = traceback_of(lambda: run("class", source, watch))
    assert names[-1] == Source.work.__code__.co_filename
    assert "<celery_graceful loop>" in names
