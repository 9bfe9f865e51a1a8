"""Generators in eager mode and direct calls: they simply run to their end."""

# mypy: allow-untyped-decorators
from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from celery_graceful import IterableTask
from celery_graceful.errors import DefinitionError

Way = Callable[..., Any]


def test_all_items_and_the_result(app: Any, way: Way) -> None:
    done: list[int] = []

    @app.task(base=IterableTask)
    def work(first: int, last: int, *, cursor: int | None = None) -> Any:
        for i in range(first if cursor is None else cursor + 1, last):
            done.append(i)
            yield i
        return f"{len(done)} done"

    assert way(work, 3, last=2000) == "1997 done"
    assert done == list(range(3, 2000))


def test_the_cursor_is_not_passed_unless_seeded(app: Any, way: Way) -> None:
    seen: list[Any] = []

    @app.task(base=IterableTask)
    def work(**kwargs: Any) -> Iterator[int]:
        seen.append(kwargs)
        yield 1

    way(work, a=1)
    way(work, a=1, cursor=500)
    assert seen == [{"a": 1}, {"a": 1, "cursor": 500}]


def test_a_seed_of_none_is_no_seed(app: Any, way: Way) -> None:
    seen: list[Any] = []

    @app.task(base=IterableTask)
    def work(*, cursor: Any = "default") -> Any:
        seen.append(cursor)
        yield 1

    way(work, cursor=None)
    assert seen in (["default"], [None])


@pytest.mark.parametrize("flag", [True, False, None, 0])
def test_a_result_that_is_returned_on_some_ways_only(app: Any, way: Way, flag: Any) -> None:
    @app.task(base=IterableTask)
    def either(flag: Any, *, cursor: Any = None) -> Any:
        yield 1
        if flag:
            return "yes"

    @app.task(base=IterableTask)
    def or_none(flag: Any, *, cursor: Any = None) -> Any:
        yield 1
        return flag or None

    @app.task(base=IterableTask)
    def if_else(flag: Any, *, cursor: Any = None) -> Any:
        yield 1
        return None if flag is None else [flag]

    @app.task(base=IterableTask)
    def early(flag: Any, *, cursor: Any = None) -> Any:
        if flag:
            return "early"
        yield 1

    @app.task(base=IterableTask)
    def cleaned(flag: Any, *, cursor: Any = None) -> Any:
        try:
            with suppress(KeyError):
                yield 1
                return flag
        finally:
            flag = "late"

    assert way(either, flag) == ("yes" if flag else None)
    assert way(or_none, flag) == (flag or None)
    assert way(if_else, flag) == (None if flag is None else [flag])
    assert way(early, flag) == ("early" if flag else None)
    assert way(cleaned, flag) == flag


@pytest.mark.parametrize("result", [None, 0, "", [], (), False, {"a": (1, 2)}], ids=repr)
def test_results_of_any_kind(app: Any, result: Any) -> None:
    @app.task(base=IterableTask)
    def work(*, cursor: Any = None) -> Any:
        yield 1
        return result

    assert work.delay().get() == result
    assert work() == result


def test_no_item_at_all(app: Any, way: Way) -> None:
    @app.task(base=IterableTask)
    def work(*, cursor: Any = None) -> Any:
        yield from ()
        return "nothing to do"

    assert way(work) == "nothing to do"


def test_bound(app: Any, way: Way) -> None:
    seen: list[Any] = []

    @app.task(base=IterableTask, bind=True, name="proj.bound")
    def work(self: Any, n: int, *, cursor: int | None = None) -> Any:
        for i in range(n):
            self.carry["sum"] = self.carry.get("sum", 0) + i
            seen.append(self.request.id)
            yield i
        return self.carry["sum"]

    assert way(work, 10) == 45
    assert way(work, 10) == 45, "the carry of one run is not seen by the next"
    assert len(set(seen)) in (1, 2)


def test_an_error_is_raised_as_it_is(app: Any, way: Way) -> None:
    error = LookupError("item 2")

    @app.task(base=IterableTask)
    def work(*, cursor: Any = None) -> Any:
        yield 1
        raise error

    with pytest.raises(LookupError) as raised:
        way(work)
    assert raised.value is error


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*(2 * a for a in args), **kwargs)

    return wrapper


def delegating(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return (yield from function(*args, **kwargs))

    return wrapper


@pytest.mark.parametrize("decorator", [decorated, delegating])
def test_decorators_around_a_generator(app: Any, way: Way, decorator: Any) -> None:
    def work(n: int, *, cursor: int | None = None) -> Any:
        yield from range(0 if cursor is None else cursor + 1, n)
        return n

    task = app.task(base=IterableTask, name="proj.decorated")(decorator(work))
    assert task.faults == ()
    assert way(task, 4, cursor=1) == (8 if decorator is decorated else 4)


def test_an_iterator_that_is_no_generator(app: Any, way: Way) -> None:
    """A decorator may return any iterator of cursors."""
    seen: list[int] = []

    class Noting:
        def __init__(self, cursors: Iterator[int]) -> None:
            self.cursors = cursors

        def __iter__(self) -> Noting:
            return self

        def __next__(self) -> int:
            seen.append(next(self.cursors))
            return seen[-1]

    def noting(function: Callable[..., Any]) -> Callable[..., Any]:
        return functools.wraps(function)(lambda *a, **k: Noting(function(*a, **k)))

    @app.task(base=IterableTask)
    @noting
    def work(*, cursor: Any = None) -> Any:
        yield from (1, 2, 3)

    assert way(work) is None
    assert seen == [1, 2, 3]


@pytest.mark.parametrize("returned", [None, 5, [1, 2]], ids=repr)
def test_a_function_that_returns_no_generator(app: Any, way: Way, returned: Any) -> None:
    def hides(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return returned

        return wrapper

    @app.task(base=IterableTask, name="proj.hidden")
    @hides
    def work(*, cursor: Any = None) -> Any:
        yield 1

    with pytest.raises(DefinitionError, match=r"proj\.hidden has to be a generator"):
        way(work)


def test_typed_results(app: Any) -> None:
    from celery.result import AsyncResult

    @app.task(base=IterableTask)
    def work(*, cursor: Any = None) -> Any:
        yield 1
        return 7

    result: AsyncResult[int] = work.delay()
    assert result.get() + 1 == 8
    assert result.successful()


def test_wrong_arguments_are_told_at_the_call(app: Any) -> None:
    @app.task(base=IterableTask)
    def work(a: int, *, cursor: Any = None) -> Any:
        yield a

    for args in ((), (1, 2)):
        with pytest.raises(TypeError, match="argument"):
            work.delay(*args)


def test_a_task_in_a_canvas(app: Any) -> None:
    from celery import chain, chord, group

    @app.task(base=IterableTask)
    def work(n: int, *, cursor: Any = None) -> Any:
        yield from range(n)
        return n + 1

    @app.task
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    assert chain(work.s(1), work.s(), work.s()).apply_async().get() == 4
    assert group(work.s(i) for i in range(3)).apply_async().get() == [1, 2, 3]
    assert chord([work.s(1), work.s(2)])(total.s()).get() == 5


def test_pydantic(app: Any, way: Way) -> None:
    pydantic = pytest.importorskip("pydantic")

    class Order(pydantic.BaseModel):  # type: ignore[name-defined, misc]
        id: int

    def work(order: Any, *, cursor: Any = None) -> Any:
        yield order.id
        return order.id

    work.__annotations__["order"] = Order
    task = app.task(base=IterableTask, pydantic=True, name="proj.pydantic")(work)
    assert task.faults == ()
    assert way(task, {"id": 5}) == 5
    with pytest.raises(pydantic.ValidationError):
        way(task, {"id": "x"})
