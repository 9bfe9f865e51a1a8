"""celery-singleton and celery-once on iterable tasks: the lock is held through every execution."""

# mypy: allow-untyped-decorators
from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import celery_singleton.backends
import pytest
from celery import Celery
from celery_singleton import Singleton

from celery_graceful import IterableTask, iterable_task
from tests.harness.delivered import InProcess, as_in_a_worker

with warnings.catch_warnings():  # of an escape sequence in one of its docstrings
    warnings.simplefilter("ignore")
    from celery_once import AlreadyQueued, QueueOnce

ITEMS = 30


class Work:
    """What the tasks do, and what is seen meanwhile."""

    child: InProcess
    stop_at: int | None
    fail_at: int | None
    done: list[int]

    def item(self, number: int) -> None:
        self.child.item()
        if number == self.fail_at:
            self.fail_at = None
            raise OSError("once")
        self.done.append(number)
        if number == self.stop_at:
            self.child.stop()


work = Work()


class SingletonFirst(Singleton, IterableTask):  # type: ignore[misc]
    abstract = True
    unique_on = ("account",)


class SingletonLast(IterableTask, Singleton):  # type: ignore[misc]
    abstract = True
    unique_on = ("account",)


class OnceFirst(QueueOnce, IterableTask):  # type: ignore[misc]
    abstract = True
    once = {"keys": ["account"]}  # noqa: RUF012


class OnceLast(IterableTask, QueueOnce):  # type: ignore[misc]
    abstract = True
    once = {"keys": ["account"]}  # noqa: RUF012


def generator(account: str, size: int = ITEMS, *, cursor: int | None = None) -> Any:
    for i in range(0 if cursor is None else cursor + 1, size):
        work.item(i)
        yield i
    return account


class Written:
    def build_enumerator(self, account: str, size: int = ITEMS, *, cursor: int | None) -> Any:
        return ((i, i) for i in range(0 if cursor is None else cursor + 1, size))

    def each_iteration(self, item: int, account: str, size: int = ITEMS) -> None:
        work.item(item)

    def result(self, account: str, size: int = ITEMS) -> str:
        return account


def as_generator(app: Any, base: Any, **options: Any) -> Any:
    return app.task(base=base, name="proj.t", shared=False, **options)(generator)


def as_bound_generator(app: Any, base: Any, **options: Any) -> Any:
    def bound(self: Any, account: str, size: int = ITEMS, *, cursor: int | None = None) -> Any:
        return (yield from generator(account, size, cursor=cursor))

    return app.task(base=base, name="proj.t", shared=False, bind=True, **options)(bound)


def as_class(app: Any, base: Any, **options: Any) -> Any:
    cls = type("Written", (Written, base), {"name": "proj.t", **options})
    return app.register_task(cls())


SINGLETON = (SingletonFirst, SingletonLast)
ONCE = (OnceFirst, OnceLast)
makes = pytest.mark.parametrize("make", [as_generator, as_bound_generator, as_class])


@pytest.fixture
def app(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: Any
) -> Iterator[Any]:
    monkeypatch.setattr(celery_singleton.backends, "_backend", None)
    work.stop_at = work.fail_at = None
    work.done = []
    kind = getattr(request, "param", None)
    with Celery("proj", task_cls=kind, broker="memory://", backend="cache+memory://") as app:
        app.conf.update(
            graceful_store=f"memory://{uuid4()}",
            singleton_backend_url=redis_url,
            singleton_key_prefix=f"singleton-{uuid4()}-",
            ONCE={
                "backend": "celery_once.backends.File",
                "settings": {"location": str(tmp_path), "default_timeout": 3600},
            },
        )
        yield app
        if celery_singleton.backends._backend is not None:
            celery_singleton.backends._backend.redis.close()


@pytest.fixture
def child(app: Any) -> Iterator[InProcess]:
    with as_in_a_worker():
        work.child = InProcess(app)
        yield work.child


def refused(task: Any, *args: Any) -> bool:
    """Whether another task with these arguments is not sent."""
    waiting = len(pending(task.app))
    try:
        task.delay(*args)
    except AlreadyQueued:
        return True
    return len(pending(task.app)) == waiting


def pending(app: Any) -> list[Any]:
    with app.connection_for_write() as connection:
        return list(connection.default_channel._queue_for("celery").queue)


@makes
@pytest.mark.parametrize("base", [*SINGLETON, *ONCE])
def test_locked_until_the_run_ends(app: Any, child: InProcess, make: Any, base: Any) -> None:
    task = make(app, base)
    work.stop_at = 3
    result = task.delay("a")
    assert refused(task, "a")
    assert refused(task, "a", 99), "only the account counts"
    child.deliver()
    assert 0 < len(work.done) < ITEMS, "interrupted"
    assert len(pending(app)) == 1, "its successor is on its way, and not refused"
    assert refused(task, "a"), "the run still goes on"
    assert not refused(task, "b")
    assert child.deliver_all() >= 2
    assert (result.get(timeout=5), result.state) == ("a", "SUCCESS")
    assert not refused(task, "a")


@makes
@pytest.mark.parametrize("base", ONCE)
def test_a_retry_is_not_refused(app: Any, child: InProcess, make: Any, base: Any) -> None:
    """After an interruption. celery-singleton refuses retries, also those of plain tasks."""
    task = make(app, base, autoretry_for=(OSError,), default_retry_delay=0)
    work.stop_at, work.fail_at = 3, 25
    result = task.delay("a")
    child.deliver_all()
    assert work.done == list(range(ITEMS))
    assert (result.get(timeout=5), child.executions) == ("a", 3)
    assert not refused(task, "a")


@makes
@pytest.mark.parametrize("base", [*SINGLETON, *ONCE])
def test_a_failure_releases_it(app: Any, child: InProcess, make: Any, base: Any) -> None:
    task = make(app, base)
    work.fail_at = 2
    result = task.delay("a")
    child.deliver_all()
    assert result.state == "FAILURE"
    assert not refused(task, "a")


@makes
@pytest.mark.parametrize("app", [Singleton, QueueOnce], indirect=True)
def test_as_the_task_class_of_the_app(app: Any, child: InProcess, make: Any) -> None:
    task = make(app, IterableTask)
    work.stop_at = 3
    result = task.delay("a")
    assert refused(task, "a")
    child.deliver_all()
    assert (result.get(timeout=5), child.executions) == ("a", 2)
    assert not refused(task, "a")


def test_a_shared_task(app: Any, child: InProcess) -> None:
    iterable_task(base=OnceFirst, name="proj.shared")(generator)
    task = app.tasks["proj.shared"]
    work.stop_at = 3
    result = task.delay("a")
    assert refused(task, "a")
    child.deliver_all()
    assert result.get(timeout=5) == "a"
