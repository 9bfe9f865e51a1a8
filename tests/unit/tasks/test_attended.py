"""Tasks that hear of a stop while they run: who pays for it, and what an execution is told."""

# mypy: allow-untyped-decorators
from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from celery import Task
from celery.exceptions import Reject

from celery_graceful import CutOff, GracefulTask, IterableTask
from celery_graceful.errors import CutOffError
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.stop import flag
from tests.harness import wait_for

Told = list[tuple[str, float | None, Any]]


@pytest.fixture
def shared() -> Iterator[flag.StopFlag]:
    yield flag.owned("attended")
    flag.withdraw()


@contextmanager
def delivered(task: Any, task_id: str = "1") -> Iterator[None]:
    """As in a worker's thread."""
    task.push_request(
        id=task_id,
        called_directly=False,
        is_eager=False,
        args=(),
        kwargs={},
        argsrepr="('shown',)",
        delivery_info={},
    )
    try:
        yield
    finally:
        task.pop_request()


def in_thread(task: Any, *args: Any) -> Callable[[], Any]:
    """Begin an execution in a thread; the function returned waits for it, and says what it did."""
    came: list[Any] = []

    def work() -> None:
        with delivered(task):
            try:
                came.append(task(*args))
            except BaseException as exc:
                came.append(exc)

    thread = threading.Thread(target=work)
    thread.start()

    def outcome() -> Any:
        thread.join(60)
        return came[0]

    return outcome


def spin(seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.005)


class Hooked(GracefulTask):
    """Keeps what its hook is told."""

    abstract = True
    told: Told = []  # noqa: RUF012

    def on_stop_requested(self, reason: StopReason, time_left: float | None) -> None:
        self.told.append((reason, time_left, self.request.id))


@pytest.fixture
def hooked(app: Any) -> Any:
    def work() -> None:
        spin(0.5)

    task = app.task(base=Hooked, name="proj.hooked", shared=False)(work)
    task.told.clear()
    return task


def test_who_does_not_want_it_pays_nothing(app: Any) -> None:
    def work(*, cursor: Any = None) -> Iterator[int]:
        yield 1

    for base in (GracefulTask, IterableTask, Task):
        name = f"proj.{base.__name__}"
        app.task(base=base, name=name, shared=False)(work)
        assert not hasattr(type(app.tasks[name]).__call__, "attends")


def test_the_hook_gets_reason_time_and_request(app: Any, shared: flag.StopFlag) -> None:
    def work() -> None:
        with suppress(AssertionError):
            wait_for(lambda: Hooked.told, 30)

    hooked = app.task(base=Hooked, name="proj.hooked", shared=False)(work)
    hooked.told.clear()
    outcome = in_thread(hooked)
    shared.set_cut(time.monotonic() + 1000)
    shared.raise_(StopReason.SHUTDOWN)
    outcome()
    ((reason, left, task_id),) = hooked.told
    assert (reason, task_id) == ("shutdown", "1")
    assert left is not None
    assert 900 < left <= 1000
    assert hooked.request.id is None


def test_no_hook_after_the_end_in_direct_calls_and_eagerly(
    hooked: Any, shared: flag.StopFlag
) -> None:
    in_thread(hooked)()
    shared.raise_(StopReason.SHUTDOWN)
    hooked()
    hooked.delay()
    assert hooked.told == []


def cut(app: Any, **options: Any) -> Any:
    @app.task(base=GracefulTask, raise_at_cut=True, shared=False, name="proj.cut", **options)
    def task() -> None:
        try:
            spin()
        except Exception:
            raise AssertionError("a broad except") from None

    return app.tasks["proj.cut"]


def test_late_acked_it_goes_back(
    app: Any, shared: flag.StopFlag, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = in_thread(cut(app, acks_late=True))
    shared.set_cut(time.monotonic() + 0.2)
    shared.raise_(StopReason.SHUTDOWN)
    with caplog.at_level(logging.WARNING):
        found: Any = outcome()
    assert isinstance(found, Reject)
    assert found.requeue  # type: ignore[attr-defined]
    assert re.search(r"proj\.cut\[1\] was cut off after \d", caplog.text)


@pytest.mark.parametrize("more", [{}, {"autoretry_for": (Exception,)}])
def test_early_acked_it_fails_for_good(
    app: Any, shared: flag.StopFlag, more: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    outcome = in_thread(cut(app, **more))
    shared.raise_(StopReason.SHUTDOWN, cold=True)
    found = outcome()
    assert re.search(r"proj\.cut\[1\] was cut off after \d", caplog.text)
    assert "args=('shown',) kwargs={}" in caplog.text
    assert isinstance(found, CutOffError)
    assert isinstance(found.__cause__, CutOff)


def test_a_call_of_the_users_own_is_kept(app: Any, shared: flag.StopFlag) -> None:
    class Own(GracefulTask):
        abstract = True
        raise_at_cut = True
        before: list[str] = []  # noqa: RUF012

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            self.before.append("own")
            return super().__call__(*args, **kwargs)

    def work(number: int) -> int:
        return number + 1

    task = app.task(base=Own, name="proj.own", shared=False)(work)
    assert in_thread(task, 1)() == 2
    assert task(2) == 3
    assert task.before == ["own", "own"]


@pytest.mark.parametrize("late", [True, False])
def test_a_task_that_raises_it_by_itself_is_not_cut_off(
    app: Any, shared: flag.StopFlag, late: bool
) -> None:
    @app.task(base=GracefulTask, raise_at_cut=True, acks_late=late, shared=False)
    def raises() -> None:
        raise CutOff

    app.finalize()
    assert isinstance(in_thread(raises)(), CutOff)
