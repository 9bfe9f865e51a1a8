"""``iterable_task``: for functions and classes, for apps made before and after."""

# mypy: allow-untyped-decorators
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from celery_graceful import IterableTask, iterable_task
from celery_graceful.errors import DefinitionError

from .conftest import MakeApp

HERE = __name__


class Summed(IterableTask):
    """An abstract base with all but the name."""

    abstract = True

    def build_enumerator(self, n: int, *, cursor: int | None) -> Iterable[Any]:
        return ((i, i) for i in range(0 if cursor is None else cursor + 1, n))

    def each_iteration(self, item: int, n: int) -> None:
        self.carry["sum"] = self.carry.get("sum", 0) + item

    def result(self, n: int) -> Any:
        return self.carry.get("sum")


# -- functions --------------------------------------------------------------------------------


def test_bare(current: Any) -> None:
    @iterable_task
    def bare(n: int, *, cursor: Any = None) -> Any:
        """Count."""
        yield from range(n)
        return n

    assert bare.name == f"{HERE}.bare"
    assert bare.__doc__ == "Count."
    assert isinstance(bare, IterableTask)
    assert bare.delay(3).get() == bare(3) == 3


def test_with_options(current: Any) -> None:
    @iterable_task(
        name="shared.opt", bind=True, rate_limit="9/s", checkpoint_interval="2s", max_crashes=7
    )
    def with_options(self: Any, n: int, *, cursor: Any = None) -> Any:
        yield from range(n)
        return self.name, self.rate_limit, self.checkpoint_interval, self.max_crashes

    assert with_options.delay(3).get() == ("shared.opt", "9/s", "2s", 7)


def test_with_empty_brackets(current: Any) -> None:
    @iterable_task()
    def empty(*, cursor: Any = None) -> Any:
        yield 1
        return "done"

    assert empty.delay().get() == "done"


def test_a_base_of_ones_own(current: Any) -> None:
    class Base(IterableTask):
        abstract = True
        calls: list[str]

        def on_start(self, *args: Any, **kwargs: Any) -> None:
            self.calls.append(self.name)

    @iterable_task(base=Base, name="shared.based", calls=[])
    def based(*, cursor: Any = None) -> Any:
        yield 1

    based.delay()
    assert based.calls == ["shared.based"]


def test_a_base_that_is_no_iterable_task(current: Any) -> None:
    from celery import Task

    def plain(*, cursor: Any = None) -> Any:
        yield 1

    with pytest.raises((DefinitionError, TypeError)):
        iterable_task(base=Task, name="shared.plain")(plain).delay()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", ["function", "class"])
def test_apps_before_and_after_finalization(make_app: MakeApp, when: str, kind: str) -> None:
    apps = [make_app(f"app{i}", task_always_eager=True) for i in range(2)]
    if when == "after":
        for app in apps:
            app.finalize()
    name = f"shared.{when}.{kind}"
    if kind == "function":

        @iterable_task(name=name)
        def counted(n: int, *, cursor: Any = None) -> Any:
            yield from range(n)
            return 3
    else:
        made = type("Made", (Summed,), {"name": name, "__module__": HERE})
        iterable_task(made)
    later = make_app("later", task_always_eager=True)
    for app in (*apps, later):
        assert app.tasks[name].app is app
        assert app.tasks[name].delay(3).get() == 3


def test_two_apps_have_a_task_each(make_app: MakeApp) -> None:
    class Both(Summed):
        name = "shared.both"

    iterable_task(Both)
    one, two = make_app("one"), make_app("two")
    first, second = one.tasks["shared.both"], two.tasks["shared.both"]
    assert first is not second
    assert (first.app, second.app) == (one, two)
    assert (first.backend.app, second.backend.app) == (one, two)


def test_faults_and_reports_of_two_apps_are_their_own(make_app: MakeApp) -> None:
    class Reported(Summed):
        name = "shared.reported"

    iterable_task(Reported)
    loud, quiet = make_app("loud", task_track_started=True), make_app("quiet")
    assert loud.tasks["shared.reported"].reports_started
    assert not quiet.tasks["shared.reported"].reports_started


# -- classes ----------------------------------------------------------------------------------


def test_a_class(current: Any) -> None:
    @iterable_task
    class Named(Summed):
        name = "shared.named"

    task: Any = Named  # mypy does not see what a class decorator returns
    assert task.name == "shared.named"
    assert task.delay(4).get() == task(4) == 6
    assert current.tasks["shared.named"].app is current


def test_a_class_without_a_name(current: Any) -> None:
    @iterable_task
    class Unnamed(Summed):
        pass

    task: Any = Unnamed  # mypy does not see what a class decorator returns
    assert task.name == f"{HERE}.Unnamed"
    assert task.delay(4).get() == 6


def test_a_class_with_options(current: Any) -> None:
    @iterable_task(name="shared.opted", rate_limit="9/s", checkpoint_interval="2s", max_retries=9)
    class Opted(Summed):
        pass

    task: Any = Opted  # mypy does not see what a class decorator returns
    assert (task.name, task.rate_limit, task.checkpoint_interval) == ("shared.opted", "9/s", "2s")
    assert task.max_retries == 9
    assert task.delay(4).get() == 6


def test_wrong_options_of_a_class_are_told(current: Any) -> None:
    @iterable_task(name="shared.wrong", checkpoint_interval="never")
    class Wrong(Summed):
        pass

    task: Any = Wrong  # mypy does not see what a class decorator returns
    with pytest.raises(DefinitionError, match="checkpoint_interval"):
        task.delay(1)


def test_autoretry_of_a_class(current: Any) -> None:
    current.conf.task_eager_propagates = False  # Celery's own eager retries need it

    @iterable_task(name="shared.retried", autoretry_for=(OSError,), default_retry_delay=0)
    class Retried(Summed):
        tries = 0

        def each_iteration(self, item: int, n: int) -> None:
            type(self).tries += 1
            if type(self).tries == 1:
                raise OSError("once")
            super().each_iteration(item, n)

    task: Any = Retried  # mypy does not see what a class decorator returns
    assert task.autoretry_for == (OSError,)
    assert task.delay(3).get() == 3


class NotOurs:
    """A class, but no task."""


@pytest.mark.parametrize("thing", [NotOurs, Summed, 5, "text", None], ids=repr)
def test_what_cannot_be_shared_breaks_no_import(make_app: MakeApp, thing: Any) -> None:
    """A class of another kind, an abstract base, no class at all: told, but not by every app."""
    app = make_app("innocent", task_always_eager=True)

    @app.task(name="innocent.plain")
    def plain() -> int:
        return 1

    try:
        iterable_task(thing)
    except (TypeError, DefinitionError) as exc:
        assert "iterable_task" in str(exc)  # noqa: PT017 - told at once, at its own line
    app.finalize()
    assert plain.delay().get() == 1
