"""The class style in eager mode and direct calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from celery_graceful import IterableTask
from celery_graceful.errors import DefinitionError

Way = Callable[..., Any]


class Import(IterableTask):
    """Sums its items; notes what is called."""

    name = "proj.import"
    calls: list[Any]

    def build_enumerator(self, *args: Any, cursor: Any, **kwargs: Any) -> Iterable[Any]:
        self.calls.append(("enumerator", args, kwargs, cursor))
        return [(i, i) for i in range(0 if cursor is None else cursor + 1, 4)]

    def each_iteration(self, item: Any, /, *args: Any, **kwargs: Any) -> None:
        self.calls.append((item, args, kwargs))
        self.carry["sum"] = self.carry.get("sum", 0) + item

    def count(self, *args: Any, **kwargs: Any) -> int:
        self.calls.append(("count", args, kwargs))
        return 4

    def on_start(self, *args: Any, **kwargs: Any) -> None:
        self.calls.append(("start", args, kwargs))

    def on_complete(self, *args: Any, **kwargs: Any) -> None:
        self.calls.append(("complete", args, kwargs, self.progress.current))

    def result(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append(("result", args, kwargs))
        return self.carry.get("sum")


@pytest.fixture
def task(app: Any) -> Any:
    task = app.register_task(Import())
    task.calls = []
    return task


def test_all_in_order(task: Any, way: Way) -> None:
    assert way(task, "a", key="b") == 6
    given = (("a",), {"key": "b"})
    assert task.calls == [
        ("start", *given),
        ("count", *given),
        ("enumerator", *given, None),
        *[(i, *given) for i in range(4)],
        ("complete", *given, 4),
        ("result", *given),
    ]


def test_the_seed_is_respected_and_passed_to_nobody_else(task: Any, way: Way) -> None:
    assert way(task, cursor=1) == 5
    assert [c for c in task.calls if c[0] == "enumerator"] == [("enumerator", (), {}, 1)]
    assert all(c[1:3] == ((), {}) for c in task.calls)


def test_each_run_has_a_carry_of_its_own(task: Any, way: Way) -> None:
    assert [way(task), way(task)] == [6, 6]


def test_no_items(app: Any, way: Way) -> None:
    class Empty(Import):
        name = "proj.empty"

        def build_enumerator(self, *args: Any, cursor: Any, **kwargs: Any) -> Iterable[Any]:
            return iter(())

    task = app.register_task(Empty())
    task.calls = []
    assert way(task) is None
    assert [c[0] for c in task.calls] == ["start", "count", "complete", "result"]


def test_around_iteration(app: Any, way: Way) -> None:
    class Surrounded(Import):
        name = "proj.surrounded"

        @contextmanager
        def around_iteration(self, item: Any, /, *args: Any, **kwargs: Any) -> Iterator[None]:
            self.calls.append(("in", item, args, kwargs))
            yield
            self.calls.append(("out", item))

    task = app.register_task(Surrounded())
    task.calls = []
    assert way(task, 1, k=2) == 6
    around = [c for c in task.calls if c[0] in ("in", "out", 0)]
    assert around[:3] == [("in", 0, (1,), {"k": 2}), (0, (1,), {"k": 2}), ("out", 0)]


def test_around_iteration_may_skip_a_bad_item(app: Any, way: Way) -> None:
    class Forgiving(Import):
        name = "proj.forgiving"

        def each_iteration(self, item: Any, /, *args: Any, **kwargs: Any) -> None:
            if item == 2:
                raise ValueError(item)
            super().each_iteration(item, *args, **kwargs)

        def around_iteration(self, item: Any, /, *args: Any, **kwargs: Any) -> Any:
            return suppress(ValueError)

    task = app.register_task(Forgiving())
    task.calls = []
    assert way(task) == 4
    assert task.calls[-2][-1] == 4, "a skipped item is done"


def closing(task: IterableTask, pairs: Iterable[Any]) -> Iterator[Any]:
    calls: list[Any] = task.calls  # type: ignore[attr-defined]
    try:
        yield from pairs
    finally:
        calls.append("closed")


@pytest.mark.parametrize("fails", ["each", "enumerator", "never", "count", "complete"])
def test_errors_pass_and_the_enumerator_is_closed(app: Any, way: Way, fails: str) -> None:
    error = RuntimeError(fails)

    class Failing(Import):
        name = "proj.failing"

        def build_enumerator(self, *args: Any, cursor: Any, **kwargs: Any) -> Iterable[Any]:
            def pairs() -> Iterator[Any]:
                yield 0, 0
                if fails == "enumerator":
                    raise error
                yield 1, 1

            return closing(self, pairs())

        def each_iteration(self, item: Any, /, *args: Any, **kwargs: Any) -> None:
            if item == 1 and fails == "each":
                raise error

        def count(self, *args: Any, **kwargs: Any) -> int:
            if fails == "count":
                raise error
            return 2

        def on_complete(self, *args: Any, **kwargs: Any) -> None:
            if fails == "complete":
                raise error

    task = app.register_task(Failing())
    task.calls = []
    if fails == "never":
        way(task)
    else:
        with pytest.raises(RuntimeError) as raised:
            way(task)
        assert raised.value is error
    assert task.calls.count("closed") == (fails != "count")


# -- what is no pair --------------------------------------------------------------------------


def with_pairs(app: Any, pairs: Any, each: Callable[..., Any] = lambda self, item: None) -> Any:
    class Paired(IterableTask):
        name = "proj.paired"
        each_iteration = each

        def build_enumerator(self, *, cursor: Any) -> Any:
            return pairs() if callable(pairs) else pairs

    return app.register_task(Paired())


@pytest.mark.parametrize(
    "pairs",
    [[1, 2], ["abc"], [(1, 2, 3)], [()], [None], [(1,)], None, 5, [(0, 0), 7]],
    ids=repr,
)
def test_an_enumerator_that_yields_no_pairs(app: Any, way: Way, pairs: Any) -> None:
    with pytest.raises(DefinitionError, match=r"proj\.paired\.build_enumerator has to .*pairs"):
        way(with_pairs(app, pairs))


def test_pairs_that_are_lists_are_pairs(app: Any, way: Way) -> None:
    seen: list[Any] = []
    way(with_pairs(app, [[1, 2], (3, 4)], lambda self, item: seen.append(item)))
    assert seen == [1, 3]


def unpacks(self: Any, item: Any) -> None:
    _a, _b = item


def wrong_call(self: Any, item: Any) -> None:
    unpacks(self)  # type: ignore[call-arg]


def takes_too_many(self: Any, item: Any, unpack: Any, more: Any) -> None: ...


def raises(self: Any, item: Any) -> None:
    raise TypeError("cannot unpack non-iterable NoneType object")


@pytest.mark.parametrize("each", [unpacks, wrong_call, takes_too_many, raises])
def test_errors_of_each_iteration_are_its_own(app: Any, way: Way, each: Any) -> None:
    task = with_pairs(app, [(1, 1)], each)
    with pytest.raises((TypeError, ValueError)) as raised:
        way(task)
    assert not isinstance(raised.value, DefinitionError)


def test_errors_of_the_enumerator_are_its_own(app: Any, way: Way) -> None:
    def pairs() -> Iterator[Any]:
        yield 1, 1
        _a, _b = 5  # type: ignore[misc]

    with pytest.raises(TypeError, match="unpack") as raised:
        way(with_pairs(app, pairs))
    assert not isinstance(raised.value, DefinitionError)


def test_a_strict_zip_that_is_uneven(app: Any, way: Way) -> None:
    with pytest.raises(ValueError, match="shorter"):
        way(with_pairs(app, lambda: zip([1, 2], [1], strict=True)))


@pytest.mark.parametrize("kind", [staticmethod, classmethod])
def test_an_enumerator_without_self(app: Any, kind: Any) -> None:
    def pairs(n: int, *, cursor: Any) -> Any:
        return ((i, i) for i in range(n))

    def of_class(cls: Any, n: int, *, cursor: Any) -> Any:
        return pairs(n, cursor=cursor)

    class Loose(IterableTask):
        name = "proj.loose"
        build_enumerator = kind(pairs if kind is staticmethod else of_class)

        def each_iteration(self, item: Any, n: int) -> None:
            self.carry["last"] = item

        def result(self, n: int) -> Any:
            return self.carry["last"]

    task = app.register_task(Loose())
    assert task.faults == ()
    assert task.delay(3).get() == 2
    for args in ((), (1, 2)):
        with pytest.raises(TypeError, match="argument"):
            task.delay(*args)
