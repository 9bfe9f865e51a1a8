"""Plain Celery's ways to register a task, and hierarchies of classes."""

# mypy: allow-untyped-decorators
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from celery import shared_task

from celery_graceful import IterableTask

from .conftest import MakeApp
from .test_sharing import Summed

HERE = __name__


# -- the ways of plain Celery -----------------------------------------------------------------


def test_app_task(app: Any) -> None:
    @app.task(base=IterableTask)
    def counted(n: int, *, cursor: Any = None) -> Any:
        yield from range(n)
        return n

    assert counted.delay(5).get() == 5
    assert counted.name == f"{HERE}.counted"


def test_shared_task(current: Any) -> None:
    @shared_task(base=IterableTask)
    def shared(n: int, *, cursor: Any = None) -> Any:
        yield from range(n)
        return n

    assert shared.delay(5).get() == 5


def test_an_app_with_a_task_class(app: Any) -> None:
    app.task_cls = IterableTask

    @app.task
    def counted(*, cursor: Any = None) -> Any:
        yield 1
        return "done"

    assert counted.delay().get() == "done"


@pytest.mark.parametrize("instance", [True, False])
def test_register_task(app: Any, instance: bool) -> None:
    class Registered(Summed):
        name = "proj.registered"

    task = app.register_task(Registered() if instance else Registered)
    assert task.delay(3).get() == 3
    assert app.tasks["proj.registered"] is task


def test_one_class_registered_with_two_apps(make_app: MakeApp) -> None:
    class Shared(Summed):
        name = "proj.shared"

    apps = [make_app(f"app{i}", task_always_eager=True) for i in range(2)]
    for app in apps:
        assert app.register_task(Shared()).delay(3).get() == 3


# -- hierarchies ------------------------------------------------------------------------------


def test_a_concrete_class_below_two_abstract_ones(app: Any) -> None:
    class Middle(Summed):
        abstract = True
        checkpoint_interval = "3s"

        def result(self, n: int) -> Any:
            return -super().result(n)

    class Leaf(Middle):
        name = "proj.leaf"

    task = app.register_task(Leaf())
    assert task.faults == ()
    assert task.delay(3).get() == -3
    assert task.checkpoint_interval == "3s"


def test_a_mixin(app: Any) -> None:
    class Doubled:
        def each_iteration(self, item: int, n: int) -> None:
            super().each_iteration(2 * item, n)  # type: ignore[misc]

    class Mixed(Doubled, Summed):
        name = "proj.mixed"

    assert app.register_task(Mixed()).delay(3).get() == 6


def test_a_concrete_class_below_a_concrete_one(app: Any) -> None:
    class Parent(Summed):
        name = "proj.parent"

    class Child(Parent):
        name = "proj.child"

        def result(self, n: int) -> Any:
            return "child"

    parent, child = app.register_task(Parent()), app.register_task(Child())
    assert (parent.delay(3).get(), child.delay(3).get()) == (3, "child")


def test_a_class_with_a_generator_named_run(app: Any) -> None:
    class Run(IterableTask):
        name = "proj.run"

        def run(self, n: int, *, cursor: int | None = None) -> Any:
            for i in range(0 if cursor is None else cursor + 1, n):
                self.carry["sum"] = self.carry.get("sum", 0) + i
                yield i
            return self.carry["sum"]

    class Below(Run):
        name = "proj.below"

        def run(self, n: int, *, cursor: int | None = None) -> Any:
            yield 0
            return "below"

    assert app.register_task(Run()).delay(4).get() == 6
    assert app.register_task(Below()).delay(4).get() == "below"


def test_a_class_below_a_generator_class_may_change_the_style(app: Any) -> None:
    class Run(IterableTask):
        abstract = True

        def run(self, n: int, *, cursor: int | None = None) -> Any:
            yield 0
            return "generator"

    class Changed(Run):
        name = "proj.changed"

        def build_enumerator(self, n: int, *, cursor: int | None) -> Iterable[Any]:
            return ((i, i) for i in range(n))

        def each_iteration(self, item: int, n: int) -> None: ...

        def result(self, n: int) -> Any:
            return "class"

    assert app.register_task(Changed()).delay(1).get() == "class"
