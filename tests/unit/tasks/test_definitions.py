"""Badly written tasks: no error at import, a precise one where it helps, and no harm to others."""

# mypy: allow-untyped-decorators
from __future__ import annotations

import functools
import inspect
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from celery_graceful import GracefulTask, IterableTask, iterable_task
from celery_graceful.errors import DefinitionError
from celery_graceful.tasks.definitions import check_all

from .bad_definitions import (
    CLASSES,
    FUNCTIONS,
    OPTIONS,
    NoEach,
    RunThatReturns,
    fine,
    no_yield,
    without_cursor,
)
from .conftest import MakeApp


def refused(app: Any, task: Any, what: str, place: Any) -> None:
    """Every way to send the task raises; the message says what, where and in which task."""
    task.name  # noqa: B018 - evaluates a lazy task
    line = f"{inspect.getsourcefile(place)}:{inspect.getsourcelines(place)[1]}"
    ways: list[Callable[[], Any]] = [
        lambda: task.delay(1),
        lambda: task.apply_async((1,)),
        lambda: task.s(1).apply_async(),
        lambda: task.si(1).delay(),
        lambda: (task.s(1) | task.s()).apply_async(),
        lambda: check_all(app),
    ]
    for way in ways:
        with pytest.raises(DefinitionError, match=what) as raised:
            way()
        assert task.name.rpartition(".")[2] in str(raised.value)
        assert line in str(raised.value)


def assert_unharmed(app: Any, healthy: Any) -> None:
    assert healthy.delay(2).id
    assert healthy.apply((2,)).successful()
    assert app.tasks["proj.plain"].delay().id


def plain() -> str:
    return "plain"


@pytest.fixture
def app(make_app: MakeApp) -> Any:
    """An app that sends, as a web process does."""
    return make_app()


@pytest.fixture
def healthy(app: Any) -> Any:
    """A good task of the same app, and a plain one."""
    app.task(name="proj.plain")(plain)
    return app.task(base=IterableTask, name="proj.healthy")(fine)


@pytest.mark.parametrize(("function", "what"), FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_bad_functions(app: Any, healthy: Any, function: Any, what: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task = app.task(base=IterableTask, name="proj.bad")(function)
        app.finalize()
        refused(app, task, what, inspect.unwrap(function))
    assert_unharmed(app, healthy)


@pytest.mark.parametrize(("cls", "what"), CLASSES.items(), ids=lambda c: getattr(c, "__name__", ""))
def test_bad_classes(app: Any, healthy: Any, cls: Any, what: str) -> None:
    task = app.register_task(cls())
    refused(app, task, what, cls.body if cls is RunThatReturns else cls)
    assert_unharmed(app, healthy)


@pytest.mark.parametrize(
    ("option", "value"),
    [(name, value) for name, values in OPTIONS.items() for value in values],
    ids=lambda v: type(v).__name__ if type(v) is object else str(v),
)
def test_wrong_options(app: Any, healthy: Any, option: str, value: Any) -> None:
    task = app.task(base=IterableTask, name="proj.options", **{option: value})(fine)
    refused(app, task, option, fine)
    assert_unharmed(app, healthy)


def test_an_option_of_a_class(app: Any) -> None:
    class Hasty(IterableTask):
        name = "proj.hasty"
        checkpoint_interval = "never"

        def build_enumerator(self, *, cursor: Any) -> Any: ...

        def each_iteration(self, item: Any) -> None: ...

    refused(app, app.register_task(Hasty()), "checkpoint_interval", Hasty)


def test_all_faults_are_told_at_once(app: Any) -> None:
    one = app.task(base=IterableTask, name="proj.one", max_crashes="many", acks_late=False)
    one(without_cursor)
    app.task(base=IterableTask, name="proj.two")(no_yield)
    with pytest.raises(DefinitionError) as raised:
        check_all(app)
    lines = str(raised.value).splitlines()
    assert len(lines) == 4
    assert sum("proj.one" in line for line in lines) == 3


@pytest.mark.parametrize(
    "options",
    [
        {"checkpoint_interval": "500ms", "max_execution_time": "5m", "max_crashes": 1},
        {"checkpoint_interval": 0.1, "max_execution_time": 0, "max_crashes": 0},
        {"checkpoint_interval": None, "max_execution_time": None, "max_crashes": None},
        {"acks_late": True, "reject_on_worker_lost": True},
    ],
    ids=repr,
)
def test_right_options(app: Any, options: dict[str, Any]) -> None:
    task = app.task(base=IterableTask, **options)(fine)
    assert task.faults == ()
    task.delay()
    check_all(app)


def test_celerys_settings_do_not_make_a_fault(make_app: MakeApp) -> None:
    app = make_app(
        task_acks_late=False,
        task_reject_on_worker_lost=False,
        task_acks_on_failure_or_timeout=False,
        task_track_started=True,
    )
    task = app.task(base=IterableTask)(fine)
    check_all(app)
    assert (task.acks_late, task.reject_on_worker_lost, task.track_started) == (True, True, False)
    assert task.reports_started


@pytest.mark.parametrize(
    "function",
    [fine, functools.wraps(fine)(lambda *a, **k: fine(*a, **k))],
    ids=["plain", "decorated"],
)
def test_good_functions(app: Any, function: Any) -> None:
    assert app.task(base=IterableTask, name="proj.good")(function).faults == ()


def test_a_function_without_source_and_module(app: Any) -> None:
    scope: dict[str, Any] = {}
    exec("def made(n):\n    yield n\n", scope)
    task = app.task(base=IterableTask, name="proj.made")(scope["made"])
    with pytest.raises(DefinitionError, match=r"proj\.made .*takes no cursor"):
        task.delay(1)


def test_kwargs_take_the_cursor(app: Any) -> None:
    def takes_all(**kwargs: Any) -> Iterator[int]:
        yield 1

    assert app.task(base=IterableTask)(takes_all).faults == ()


def test_a_bound_generator_without_cursor(app: Any) -> None:
    def bound(self: Any, n: int) -> Iterator[int]:
        yield n

    refused(app, app.task(base=IterableTask, bind=True, name="proj.b")(bound), "no cursor", bound)


def test_shared_bad_tasks_break_no_app(make_app: MakeApp) -> None:
    before = make_app("before")
    before.finalize()
    iterable_task(name="shared.bad")(no_yield)
    iterable_task(NoEach)
    after = make_app("after")
    for app in (before, after):
        with pytest.raises(DefinitionError, match=r"shared\.bad") as raised:
            check_all(app)
        assert "NoEach" in str(raised.value)


@pytest.mark.parametrize("way", ["apply", "call"])
def test_running_a_bad_task_here_says_what_is_wrong(app: Any, way: str) -> None:
    """Eager tests are where most will meet their mistake first."""
    tasks = [
        app.task(base=IterableTask, name=f"proj.{i}")(function)
        for i, (function, _) in enumerate(FUNCTIONS.values())
    ] + [app.register_task(cls()) for cls in CLASSES]
    for task in tasks:
        with pytest.raises(DefinitionError, match=re.escape(task.name.rpartition(".")[2])):
            task.apply((1,), throw=True) if way == "apply" else task(1)


def test_an_exempt_task_needs_an_exempt_queue(make_app: MakeApp) -> None:
    def made(**conf: Any) -> Any:
        app = make_app(graceful_maintenance_exempt_queues=["alerts"], **conf)
        app.task(name="proj.page", base=GracefulTask, maintenance_exempt=True)(plain)
        app.finalize()
        return app

    with pytest.raises(DefinitionError, match=r"proj\.page: .*queue 'celery'.*\['alerts'\]"):
        check_all(made())
    app = made(task_routes={"proj.page": {"queue": "alerts"}})
    check_all(app)
    assert list(app.amqp.queues.consume_from) == ["celery"], "asking makes no queue"
