"""Tasks are tasks of their app: built on ``app.Task``, however that was made."""

# mypy: allow-untyped-decorators
from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery, Task, shared_task
from celery.fixups.django import DjangoFixup
from flask import Flask, current_app

from celery_graceful import GracefulTask, IterableTask, iterable_task
from celery_graceful._celery.task.app_task import rebuild_tasks
from celery_graceful.errors import DefinitionError
from tests.harness.delivered import InProcess, as_in_a_worker

HERE = __name__


#: Called in each item.
LOOK: dict[str, Callable[[], None]] = {"look": lambda: None}


class Custom(Task):  # type: ignore[type-arg]
    """A project's own base."""

    autoretry_for = (ConnectionError,)
    rate_limit = "7/m"

    def greeting(self) -> str:
        return f"hello from {self.name}"


class Meta(type):
    """A project's own metaclass."""


class WithSlots(Custom):
    __slots__ = ("slot",)


class WithMeta(Custom, metaclass=Meta):
    pass


class WithInit(Custom):
    def __init__(self) -> None:
        super().__init__()
        self.initialized = True


class Summed(IterableTask):
    """A class-style task without a name."""

    abstract = True

    def build_enumerator(self, n: int, *, cursor: int | None) -> Any:
        return ((i, i) for i in range(0 if cursor is None else cursor + 1, n))

    def each_iteration(self, item: int, n: int) -> None:
        LOOK["look"]()
        self.carry["sum"] = self.carry.get("sum", 0) + item

    def result(self, n: int) -> Any:
        return self.carry.get("sum", 0)


def counted(n: int, *, cursor: int | None = None) -> Any:
    total = 0
    for i in range(0 if cursor is None else cursor + 1, n):
        total += i
        LOOK["look"]()
        yield i
    return total


# -- every way to make a task, on every way to customise an app --------------------------------


def by_app_task(app: Any) -> Any:
    return app.task(base=IterableTask, name="proj.t", shared=False)(counted)


def by_app_task_at_once(app: Any) -> Any:
    return app.task(base=IterableTask, name="proj.t", shared=False, lazy=False)(counted)


def by_bound_app_task(app: Any) -> Any:
    def bound(self: Any, n: int, *, cursor: int | None = None) -> Any:
        return (yield from counted(n, cursor=cursor))

    return app.task(base=IterableTask, name="proj.t", bind=True, shared=False)(bound)


def by_shared_task(app: Any) -> Any:
    shared_task(base=IterableTask, name="proj.t")(counted)
    return app.tasks["proj.t"]


def by_iterable_task(app: Any) -> Any:
    iterable_task(name="proj.t")(counted)
    return app.tasks["proj.t"]


def by_iterable_class(app: Any) -> Any:
    iterable_task(type("Named", (Summed,), {"name": "proj.t"}))
    return app.tasks["proj.t"]


def by_registering_a_class(app: Any) -> Any:
    return app.register_task(type("Named", (Summed,), {"name": "proj.t"}))


def by_registering_an_instance(app: Any) -> Any:
    return app.register_task(type("Named", (Summed,), {"name": "proj.t"})())


def by_the_registry(app: Any) -> Any:
    app._tasks.register(type("Named", (Summed,), {"name": "proj.t"}))
    app.finalize()
    return app.tasks["proj.t"]


WAYS = (
    *(by_app_task, by_app_task_at_once, by_bound_app_task, by_shared_task, by_iterable_task),
    *(by_iterable_class, by_registering_a_class, by_registering_an_instance, by_the_registry),
)
ways = pytest.mark.parametrize("make", WAYS, ids=lambda way: way.__name__)


def given_as_option(kind: Any) -> Any:
    return Celery("proj", task_cls=kind, **SERVERS)


def given_by_name(kind: Any) -> Any:
    return Celery("proj", task_cls=f"{HERE}:{kind.__name__}", **SERVERS)


def assigned(kind: Any) -> Any:
    app: Any = Celery("proj", **SERVERS)
    app.Task = kind
    return app


def given_as_attribute(kind: Any) -> Any:
    app = Celery("proj", **SERVERS)
    app.task_cls = kind
    return app


def of_a_celery_class(kind: Any) -> Any:
    return type("Own", (Celery,), {"task_cls": kind})("proj", **SERVERS)


CUSTOMISED = (given_as_option, given_by_name, assigned, given_as_attribute, of_a_celery_class)
SERVERS: Any = {"broker": "memory://", "backend": "cache+memory://", "set_as_current": False}


@pytest.fixture
def customised() -> Iterator[Callable[..., Any]]:
    made = []

    def make(how: Callable[[Any], Any] = given_as_option, kind: Any = Custom, **conf: Any) -> Any:
        app = how(kind)
        made.append(app)
        app.conf.update(graceful_store=f"memory://{uuid4()}", **conf)
        return app

    yield make
    for app in made:
        app.close()


@ways
@pytest.mark.parametrize("how", CUSTOMISED, ids=lambda how: how.__name__)
def test_a_task_is_one_of_its_apps(customised: Any, make: Any, how: Any) -> None:
    app = customised(how, task_always_eager=True)
    task = make(app)
    for each in (app.Task, Custom, IterableTask):
        assert isinstance(task, each)
    assert task == app.tasks["proj.t"]
    assert task.greeting() == "hello from proj.t"
    assert (task.rate_limit, task.app, task.faults) == ("7/m", app, ())
    assert task.acks_late, "what iterable tasks need goes before what the app has"
    assert hasattr(task, "_orig_run"), "autoretry_for of the app's Task"
    assert task.delay(4).get() == 6


@ways
@pytest.mark.parametrize("kind", [WithSlots, WithMeta, WithInit])
def test_app_tasks_of_any_shape(customised: Any, make: Any, kind: Any) -> None:
    app = customised(kind=kind, task_always_eager=True)
    make(app)
    task = app.tasks["proj.t"]
    assert isinstance(task, kind)
    assert isinstance(task, IterableTask)
    assert task.delay(4).get() == 6
    assert getattr(task, "initialized", None) is (True if kind is WithInit else None)


@ways
def test_without_customisation(customised: Any, make: Any) -> None:
    app = customised(kind=None, task_always_eager=True)
    task = make(app)
    assert isinstance(task, app.Task)
    assert task.delay(4).get() == 6


@ways
def test_pickled(customised: Any, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    app = customised()
    monkeypatch.setattr("celery._state._tls.current_app", app)
    task = make(app)
    assert pickle.loads(pickle.dumps(app.tasks["proj.t"])) == task


@ways
def test_what_is_replaced_after_registration_counts_when_a_worker_starts(
    customised: Any, make: Any
) -> None:
    app = customised(kind=None, task_always_eager=True)
    task = make(app)
    app.finalize()
    app.Task = Custom
    rebuild_tasks(app, GracefulTask)
    assert isinstance(task, Custom)
    assert task.delay(4).get() == 6


def test_a_class_with_slots_of_its_own(customised: Any) -> None:
    class Slots:
        __slots__ = ("kept",)

    class Named(Slots, Summed):
        name = "proj.slots"

    app = customised(task_always_eager=True)
    task: Any = Named()
    task.kept = "kept"
    assert app.register_task(task) is task
    assert Custom in type(task).__mro__
    assert (task.kept, task.delay(4).get()) == ("kept", 6)


def test_a_plain_graceful_task(customised: Any) -> None:
    app = customised(task_always_eager=True)

    @app.task(base=GracefulTask, name="proj.plain", shared=False)
    def plain() -> int:
        return 1

    class Plain(GracefulTask):
        name = "proj.class"

        def run(self) -> str:
            return self.greeting()  # type: ignore[attr-defined,no-any-return]

    assert plain.greeting() == "hello from proj.plain"
    assert app.register_task(Plain()).delay().get() == "hello from proj.class"


def test_several_apps_have_classes_of_their_own(customised: Any) -> None:
    class Other(Task):  # type: ignore[type-arg]
        def greeting(self) -> str:
            return "other"

    class Named(Summed):
        name = "proj.named"

    apps = customised(), customised(kind=Other), customised(kind=None)
    one, two, three = (app.register_task(Named()) for app in apps)
    assert (one.greeting(), two.greeting()) == ("hello from proj.named", "other")
    assert not hasattr(three, "greeting")
    assert [task.app for task in (one, two, three)] == list(apps)
    assert isinstance(one, Named)
    assert not isinstance(one, Other)


def test_a_class_that_is_derived_from_the_app_task_already(customised: Any) -> None:
    app = customised(task_always_eager=True)

    class ByApp(app.Task, Summed):  # type: ignore[misc,name-defined]
        name = "proj.by_app"

    class ByClass(Custom, Summed):
        name = "proj.by_class"

    for cls in (ByApp, ByClass):
        task = app.register_task(cls())
        assert isinstance(task, (app.Task, cls))
        assert task.delay(4).get() == 6


def test_super_reaches_the_apps_methods(customised: Any) -> None:
    class Loud(Task):  # type: ignore[type-arg]
        def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
            seen.append("app")

        def apply_async(self, *args: Any, **options: Any) -> Any:
            seen.append("sent")
            return super().apply_async(*args, **options)

    class Named(Summed):
        name = "proj.named"

        def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
            seen.append("own")
            super().before_start(task_id, args, kwargs)

    seen: list[str] = []
    app = customised(kind=Loud, task_always_eager=True)
    assert app.register_task(Named()).delay(2).get() == 1
    assert seen == ["sent", "own", "app"]


def test_bases_that_contradict_each_other_stop_this_task_only(
    customised: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Mixin:
        pass

    class Mixed(Mixin, Task):  # type: ignore[type-arg]
        pass

    class Contrary(Summed, Mixin):
        name = "proj.contrary"

    app = customised(kind=Mixed, task_always_eager=True)
    task = app.register_task(Contrary())
    with pytest.raises(DefinitionError, match="cannot be built on the Task class of its app"):
        task.delay(1)
    assert "Contrary" in caplog.text
    assert by_app_task(app).delay(4).get() == 6


# -- Django and Flask ---------------------------------------------------------------------------


@ways
def test_django(customised: Any, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(".")  # the fixup changes the path

    def with_fixup(kind: None) -> Any:
        app = Celery("proj", **SERVERS)
        DjangoFixup(app).install()
        return app

    task = make(customised(with_fixup, None))
    assert callable(task.delay_on_commit)
    assert callable(task.apply_async_on_commit)


@ways
@pytest.mark.parametrize("calls", ["run", "super"])
def test_flask_has_its_context_in_every_execution(
    customised: Any, make: Any, calls: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Flask documents it, and with ``super``; interrupted once."""
    flask = Flask("shop")

    class FlaskTask(Task):  # type: ignore[type-arg]
        def __call__(self, *args: object, **kwargs: object) -> object:
            with flask.app_context():
                if calls == "run":
                    return self.run(*args, **kwargs)
                return super().__call__(*args, **kwargs)

    seen: list[tuple[int, str]] = []

    def look() -> None:
        child.item()
        seen.append((child.executions, current_app.name))
        if len(seen) == 2:
            child.stop()

    app = customised(kind=FlaskTask)
    with as_in_a_worker():
        child = InProcess(app)
        monkeypatch.setitem(LOOK, "look", look)
        result = make(app).delay(30)
        assert child.deliver_all() == 2
    assert result.get(timeout=5) is not None
    assert {name for _, name in seen} == {"shop"}
    assert [n for n, _ in seen].count(1) < 30
    assert len(seen) == 30
