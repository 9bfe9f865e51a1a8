"""A class that is built on its app's ``Task`` is, for its author, the class that was written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from celery import Celery, Task

from celery_graceful import GracefulTask, IterableTask


@pytest.fixture
def app() -> Iterator[Any]:
    app = Celery("proj", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.update(graceful_store=f"memory://{uuid4()}", task_always_eager=True)
    yield app
    app.close()


class Registry(GracefulTask):
    """A project's base that knows its subclasses, and refuses two of one name."""

    abstract = True
    known: ClassVar[dict[str, type]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        called: Any = cls.__name__
        if called in Registry.known:
            raise ValueError(f"{called} is known already")
        Registry.known[called] = cls


@pytest.fixture
def empty_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Registry, "known", {})


@pytest.mark.usefixtures("empty_registry")
def test_a_registry_of_subclasses_sees_the_written_class_alone(app: Any) -> None:
    class Send(Registry):
        name = "proj.send"

        def run(self) -> int:
            return 1

    task = app.register_task(Send())
    assert task.delay().get() == 1
    assert Registry.known == {"Send": Send}
    type("Further", (type(task),), {})
    assert set(Registry.known) == {"Send", "Further"}


def test_a_hook_that_takes_arguments_is_not_called_without_them(app: Any) -> None:
    class OfKind(GracefulTask):
        abstract = True
        kind = ""

        def __init_subclass__(cls, *, kind: str) -> None:
            super().__init_subclass__()
            cls.kind = kind

    class Send(OfKind, kind="mail"):
        name = "proj.send"

        def run(self) -> str:
            return self.kind

    task = app.register_task(Send())
    assert isinstance(task, app.Task)
    assert task.delay().get() == "mail"


def test_the_apps_task_class_hears_of_each_task(app: Any) -> None:
    seen: list[Any] = []

    class OfApp(Task):  # type: ignore[type-arg]
        abstract = True

        def __init_subclass__(cls, **options: Any) -> None:
            super().__init_subclass__(**options)
            seen.append(cls.__name__)

    class Send(GracefulTask):
        name = "proj.send"

        def run(self) -> int:
            return 1

    app.Task = OfApp
    app.register_task(Send())
    assert seen.count("Send") == 1  # beside the tasks that Celery has itself


def test_a_hook_that_raises_stops_this_task_alone(
    app: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class OfApp(Task):  # type: ignore[type-arg]
        abstract = True

        def __init_subclass__(cls, **options: Any) -> None:
            if issubclass(cls, IterableTask):
                raise RuntimeError("not this one")

    class Walk(IterableTask):
        name = "proj.walk"

        def build_enumerator(self, *, cursor: Any) -> Any:
            return ()

        def each_iteration(self, item: Any) -> None: ...

    class Run(Walk):
        name = "proj.run"

    app.Task = OfApp
    assert "not this one" in app.register_task(Walk()).faults[0]
    assert "Walk: it cannot be built on the Task class of its app" in caplog.text
    other = Celery("other", broker="memory://", set_as_current=False)
    assert other.register_task(Run()).faults == ()
    assert other.register_task(Walk()).faults == ()


@pytest.mark.parametrize("by", ["class", "instance"])
def test_instances_that_are_made_later_work_as_in_celery(app: Any, by: str) -> None:
    class Add(GracefulTask):
        name = "proj.add"

        def run(self, x: int) -> int:
            return x + 1

    app.register_task(Add if by == "class" else Add())
    again = Add()
    assert isinstance(again, Add)
    assert again(1) == 2
    assert again.apply((1,)).get() == 2
    assert again.app is app


def test_instances_belong_to_the_app_that_registered_last(app: Any) -> None:
    class Add(GracefulTask):
        name = "proj.add"

        def run(self, x: int) -> int:
            return x + 1

    other: Any = Celery("other", broker="memory://", set_as_current=False)
    assert other.register_task(Add()).app is other
    assert app.register_task(Add()).app is app
    assert Add().app is app
    assert other.tasks["proj.add"].app is other
