"""Apps without a server, and shared tasks that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from celery import _state as _typed_state

_state: Any = _typed_state

#: Makes an app; keyword arguments are its configuration.
MakeApp = Callable[..., Any]


@pytest.fixture(autouse=True)
def _nothing_outlives_the_test() -> Iterator[None]:
    finalizers: set[Any] = _state._on_app_finalizers
    before = set(finalizers)
    yield
    finalizers.intersection_update(before)
    # Eager tasks in several threads leave Celery's own mark for "within a task" behind.
    _state._set_task_join_will_block(False)


@pytest.fixture
def make_app() -> Iterator[MakeApp]:
    made: list[Any] = []

    def make(name: str = "proj", **conf: Any) -> Any:
        app = Celery(name, broker="memory://", backend="cache+memory://", set_as_current=False)
        app.conf.update(conf)
        made.append(app)
        return app

    yield make
    for app in made:
        app.close()


@pytest.fixture
def app(make_app: MakeApp) -> Any:
    """An app whose ``delay`` runs the task at once."""
    return make_app(
        task_always_eager=True, task_eager_propagates=True, task_store_eager_result=True
    )


@pytest.fixture
def current(app: Any) -> Iterator[Any]:
    """The same app as the one that shared tasks turn to."""
    before = _state._tls.current_app
    app.set_current()
    yield app
    _state._set_current_app(before)


#: Runs start within runs here, where nothing can block.
NESTED = {"disable_sync_subtasks": False}

#: The ways to run a task without a worker.
WAYS: dict[str, Callable[..., Any]] = {
    "delay": lambda task, *args, **kwargs: task.delay(*args, **kwargs).get(**NESTED),
    "apply": lambda task, *args, **kwargs: task.apply(args, kwargs, throw=True).get(**NESTED),
    "call": lambda task, *args, **kwargs: task(*args, **kwargs),
    "run": lambda task, *args, **kwargs: task.run(*args, **kwargs),
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Runs a task here and now: ``way(task, *args, **kwargs)`` returns its result."""
    return WAYS[request.param]
