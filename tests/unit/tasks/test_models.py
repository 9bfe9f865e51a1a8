"""``pydantic=True``: as for Celery's plain tasks, in generators and classes."""

# mypy: allow-untyped-decorators
from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any
from uuid import uuid4

import celery
import pytest
from celery import Celery
from kombu.exceptions import EncodeError
from pydantic import BaseModel, ValidationError, ValidationInfo, field_validator

from celery_graceful import IterableTask, iterable_task
from celery_graceful.errors import CursorError
from tests.harness.delivered import InProcess


class Order(BaseModel):
    number: int
    note: str | None = None


class Report(BaseModel):
    items: int
    skipped: int | None = None

    @field_validator("items")
    @classmethod
    def _look(cls, value: int, info: ValidationInfo) -> int:
        contexts.append(info.context)
        return value


class Point(BaseModel):
    at: int


contexts: list[Any] = []
ORDER = {"number": 7, "note": None}


@pytest.fixture
def remote() -> Iterator[Any]:
    """An app whose results are written as JSON."""
    with Celery("proj", broker="memory://", backend="cache+memory://", set_as_current=False) as app:
        app.conf.graceful_store = f"memory://{uuid4()}"
        yield app


seen: list[Any] = []


def annotated(order: Order, *, cursor: int = -1) -> Generator[int, None, Report]:
    seen.append(order)
    yield from range(cursor + 1, 30)
    return Report(items=30)


def optional(order: Order | None, *, cursor: int = -1) -> Generator[int, None, Report | None]:
    return (yield from annotated(order, cursor=cursor))  # type: ignore[arg-type]


def iterated(order: Order, *, cursor: int = -1) -> Iterator[int]:
    return (yield from annotated(order, cursor=cursor))  # type: ignore[return-value]


def bound(self: Any, order: Order, *, cursor: int = -1) -> Any:
    return (yield from annotated(order, cursor=cursor))


def untyped(order: Order, *, cursor=-1):  # type: ignore[no-untyped-def]
    return (yield from annotated(order, cursor=cursor))


def by_decorator(app: Any, function: Any, **options: Any) -> Any:
    options = {"pydantic": True, **options}
    base: Any = app.task(base=IterableTask, name="models.t", shared=False, **options)
    return base(function)


def by_iterable_task(app: Any, function: Any, **options: Any) -> Any:
    iterable_task(name="models.t", pydantic=True, **options)(function)
    return app.tasks["models.t"]


class Written(IterableTask):
    abstract = True

    def build_enumerator(self, order: Order, *, cursor: int | None) -> Any:
        seen.append(order)
        return ((i, i) for i in range(0 if cursor is None else cursor + 1, 30))

    def each_iteration(self, item: int, order: Order) -> None:
        assert type(order) is Order

    def result(self, order: Order) -> Report:
        return Report(items=30)


class Generating(IterableTask):
    abstract = True

    def run(self, order: Order, *, cursor: int = -1) -> Generator[int, None, Report]:
        return (yield from annotated(order, cursor=cursor))


def by_class(app: Any, base: Any, **options: Any) -> Any:
    options = {"pydantic": True, **options}
    return app.register_task(type("Named", (base,), {"name": "models.t", **options})())


def by_shared_class(app: Any, base: Any, **options: Any) -> Any:
    cls = type("Named", (base,), {"name": "models.t"})
    iterable_task(cls, pydantic=True, **options)
    return app.tasks["models.t"]


WAYS: Any = (
    *((by_decorator, annotated, {}), (by_decorator, optional, {}), (by_decorator, iterated, {})),
    *((by_decorator, untyped, {}), (by_decorator, bound, {"bind": True})),
    *((by_iterable_task, annotated, {}), (by_class, Written, {}), (by_class, Generating, {})),
    (by_shared_class, Written, {}),
)
ways = pytest.mark.parametrize(
    ("make", "written", "options"), WAYS, ids=lambda way: getattr(way, "__name__", "")
)
typed_strings = pytest.mark.skipif(
    celery.VERSION[:2] < (5, 6), reason="Celery 5.5 does not read annotations that are strings"
)


@typed_strings
@ways
@pytest.mark.parametrize("stop", [False, True])
def test_in_a_worker(remote: Any, make: Any, written: Any, options: Any, stop: bool) -> None:
    """Models in every execution, and a result that its JSON can hold."""
    task = make(remote, written, **options)
    worker = InProcess(remote)
    before = len(seen)
    if stop:

        def stopping(*args: Any, **kwargs: Any) -> None:
            worker.stop()

        task.on_start = stopping
    result = task.delay(ORDER)
    assert worker.deliver_all() == 1 + stop
    assert result.get(timeout=5) == {"items": 30, "skipped": None}
    assert {(type(order), order.number) for order in seen[before:]} == {(Order, 7)}


@typed_strings
@ways
def test_without_a_worker(app: Any, make: Any, written: Any, options: Any, way: Any) -> None:
    task = make(app, written, **options)
    assert way(task, ORDER) == {"items": 30, "skipped": None}
    assert way(task, order=ORDER) == {"items": 30, "skipped": None}


@typed_strings
@ways
def test_invalid_arguments_fail_the_run(remote: Any, make: Any, written: Any, options: Any) -> None:
    result = make(remote, written, **options).delay({"number": "many"})
    InProcess(remote).deliver_all()
    assert result.state == "FAILURE"
    assert "valid integer" in str(result.traceback)


@typed_strings
@ways
def test_the_options(app: Any, make: Any, written: Any, options: Any) -> None:
    """Strictness, context, and how a model is dumped."""
    task = make(
        app,
        written,
        pydantic_strict=True,
        pydantic_context={"tenant": "a"},
        pydantic_dump_kwargs={"exclude_none": True},
        **options,
    )
    assert task.delay(ORDER).get() == {"items": 30}
    with pytest.raises(ValidationError):
        task.delay({"number": "7"})


@typed_strings
def test_the_context_has_app_and_name(app: Any) -> None:
    class WithReport(Written):
        name = "proj.with_report"
        pydantic = True
        pydantic_context = {"tenant": "a"}  # noqa: RUF012

        def build_enumerator(self, report: Report, *, cursor: int | None) -> Any:  # type: ignore[override]
            return []

        def result(self, report: Report) -> Report:  # type: ignore[override]
            return report

    contexts.clear()
    task = app.register_task(WithReport())
    assert task.delay({"items": 1}).get() == {"items": 1, "skipped": None}
    context = contexts[0]
    assert (context["tenant"], context["celery_task_name"]) == ("a", "proj.with_report")
    assert context["celery_app"] is app


@pytest.mark.skipif(celery.VERSION[:2] < (5, 7), reason="callers may pass models since Celery 5.7")
@ways
def test_a_caller_may_pass_a_model(remote: Any, make: Any, written: Any, options: Any) -> None:
    result = make(remote, written, **options).delay(Order(number=7))
    InProcess(remote).deliver_all()
    assert result.get(timeout=5) == {"items": 30, "skipped": None}


@typed_strings
def test_another_model_than_announced_is_left_to_celery(remote: Any) -> None:
    def other(*, cursor: int = -1) -> Generator[int, None, Report]:
        yield 1
        return Point(at=1)  # type: ignore[return-value]

    result = by_decorator(remote, other).delay()
    InProcess(remote).deliver_all()
    assert result.state == "FAILURE"
    with pytest.raises(EncodeError):
        result.get(timeout=5)


@typed_strings
def test_hooks_get_the_models(app: Any) -> None:
    hooked: list[Any] = []

    class Base(IterableTask):
        abstract = True

        def on_start(self, *args: Any, **kwargs: Any) -> None:
            hooked.append((args, kwargs))

    function = Base
    task = app.task(base=function, name="proj.h", shared=False, pydantic=True)(annotated)
    task.delay(order=ORDER)
    assert hooked == [((), {"order": Order(number=7)})]


def test_without_the_option_nothing_is_validated(app: Any) -> None:
    before = len(seen)
    task = by_decorator(app, annotated, pydantic=False)
    assert task(ORDER) == Report(items=30)
    assert seen[before:] == [ORDER]


@pytest.mark.parametrize("pydantic", [False, True])
def test_a_model_as_cursor_is_refused_and_told_how(app: Any, pydantic: bool) -> None:
    def pointed(*, cursor: Any = None) -> Any:
        yield Point(at=1)

    with pytest.raises(CursorError, match=r"model_dump\(\).*Point\.model_validate"):
        by_decorator(app, pointed, pydantic=pydantic).delay()


@typed_strings
def test_a_cursor_that_is_annotated_as_a_model(remote: Any) -> None:
    """It is dumped by the task, and comes back as the model."""
    cursors: list[Any] = []

    def pointed(*, cursor: Point | None = None) -> Any:
        cursors.append(cursor)
        for i in range(0 if cursor is None else cursor.at + 1, 30):
            if i == 3:
                worker.stop()
            worker.item()
            yield Point(at=i).model_dump()
        return Report(items=30)

    worker = InProcess(remote)
    result = by_decorator(remote, pointed).delay()
    assert worker.deliver_all() == 2
    assert result.get(timeout=5)["items"] == 30
    assert [type(cursor) for cursor in cursors] == [type(None), Point]
