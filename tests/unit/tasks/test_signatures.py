"""What callers see of a task: its signature, and arguments that are checked at ``delay()``."""

# mypy: allow-untyped-decorators
from __future__ import annotations

import inspect
from typing import Any

import pytest

from celery_graceful import IterableTask, iterable_task


def names(task: Any) -> str:
    return str(inspect.signature(task.run))


class ByName:
    """A mixin with the enumerator."""

    def build_enumerator(self, path: str, *, cursor: Any, size: int = 1) -> Any:
        return [(path, size)]

    def each_iteration(self, item: Any, path: str, **kwargs: Any) -> None: ...


class Generating:
    """A mixin with a generator."""

    def run(self, path: str, *, cursor: Any = None) -> Any:
        yield path
        return "mixin"


def static(path: str, size: int = 1, *, cursor: Any = None) -> Any:
    yield path


def bound(self: Any, path: str, *, cursor: Any = None) -> Any:
    yield path


def make_static(app: Any) -> Any:
    return app.task(base=IterableTask, name="t", shared=False)(static)


def make_bound(app: Any) -> Any:
    return app.task(base=IterableTask, name="t", shared=False, bind=True)(bound)


def make_shared(app: Any) -> Any:
    iterable_task(name="t")(static)
    return app.tasks["t"]


def make_retried(app: Any) -> Any:
    return app.task(base=IterableTask, name="t", shared=False, autoretry_for=(OSError,))(static)


def make_class(app: Any) -> Any:
    class Named(IterableTask):
        name = "t"
        autoretry_for = (OSError,)

        def build_enumerator(self, path: str, cursor: Any, **options: Any) -> Any:
            return []

        def each_iteration(self, item: Any, path: str, **options: Any) -> None: ...

    return app.register_task(Named())


def make_static_enumerator(app: Any) -> Any:
    class Named(IterableTask):
        name = "t"

        @staticmethod
        def build_enumerator(path: str, *, cursor: Any) -> Any:
            return []

        def each_iteration(self, item: Any, path: str) -> None: ...

    return app.register_task(Named())


def make_generator_class(app: Any) -> Any:
    class Named(IterableTask):
        name = "t"

        def run(self, path: str, *, cursor: int = 0) -> Any:
            yield 1

    return app.register_task(Named())


def make_mixed(app: Any) -> Any:
    return app.register_task(type("Named", (ByName, IterableTask), {"name": "t"})())


def make_mixed_generator(app: Any) -> Any:
    return app.register_task(type("Named", (Generating, IterableTask), {"name": "t"})())


def make_below(app: Any) -> Any:
    class Parent(IterableTask):
        abstract = True

        def run(self, path: str, *, cursor: Any = None) -> Any:
            yield path

    return app.register_task(type("Named", (Parent,), {"name": "t"})())


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (make_static, "(path: 'str', size: 'int' = 1, *, cursor: 'Any' = None) -> 'Any'"),
        (make_shared, "(path: 'str', size: 'int' = 1, *, cursor: 'Any' = None) -> 'Any'"),
        (make_retried, "(path: 'str', size: 'int' = 1, *, cursor: 'Any' = None) -> 'Any'"),
        (make_bound, "(path: 'str', *, cursor: 'Any' = None) -> 'Any'"),
        (make_class, "(path: 'str', *, cursor=None, **options: 'Any') -> 'Any'"),
        (make_static_enumerator, "(path: 'str', *, cursor=None) -> 'Any'"),
        (make_generator_class, "(path: 'str', *, cursor: 'int' = 0) -> 'Any'"),
        (make_mixed, "(path: 'str', *, size: 'int' = 1, cursor=None) -> 'Any'"),
        (make_mixed_generator, "(path: 'str', *, cursor: 'Any' = None) -> 'Any'"),
        (make_below, "(path: 'str', *, cursor: 'Any' = None) -> 'Any'"),
    ],
)
def test_run_has_the_signature_of_the_body(app: Any, make: Any, expected: str) -> None:
    task = make(app)
    assert names(task) == expected
    bound_arguments = inspect.signature(task.run).bind("p").arguments
    assert "cursor" not in bound_arguments, "the caller does not pass it"
    inspect.signature(task.run).bind("p", cursor=3)


@pytest.mark.parametrize(
    "make", [make_static, make_bound, make_class, make_generator_class, make_mixed, make_below]
)
def test_arguments_are_checked_when_it_is_sent(app: Any, make: Any) -> None:
    task = make(app)
    for args, kwargs in [((), {}), (("p", 1, 2), {}), ((), {"size": 3})]:
        with pytest.raises(TypeError):
            task.delay(*args, **kwargs)
    task.delay("p")
    task.delay(path="p", cursor=1)


@pytest.mark.parametrize("make", [make_static, make_class, make_generator_class])
def test_without_typing_nothing_is_checked(app: Any, make: Any) -> None:
    app.conf.task_always_eager = False
    task = make(app)
    task.typing = False
    task.delay()


def test_a_generator_in_a_mixin_is_the_body(app: Any) -> None:
    assert make_mixed_generator(app).delay("p").get() == "mixin"


def test_a_generator_may_use_that_of_its_parent(app: Any) -> None:
    class Parent(IterableTask):
        name = "proj.parent"

        def run(self, n: int, *, cursor: int | None = None) -> Any:
            yield from range(0 if cursor is None else cursor + 1, n)
            return "parent"

    class Child(Parent):
        name = "proj.child"

        def run(self, n: int, *, cursor: int | None = None) -> Any:
            returned = yield from super().run(n, cursor=cursor)
            return f"child of {returned}"

    parent, child = app.register_task(Parent()), app.register_task(Child())
    assert parent.delay(3).get() == "parent"
    assert child.delay(3).get() == "child of parent"


def test_a_run_that_a_setting_wraps(make_app: Any) -> None:
    """``task_annotations`` with ``@run``."""

    def around(run: Any) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            return f"wrapped {run(*args, **kwargs)}"

        return wrapped

    app = make_app("app", task_always_eager=True, task_annotations={"t": {"@run": around}})
    task = make_generator_class(app)
    assert task.delay("p").get() == "wrapped None"
