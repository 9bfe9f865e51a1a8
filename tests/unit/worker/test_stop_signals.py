"""Which signal does what, and when tasks are cut off."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery.concurrency import prefork as prefork_pool
from celery.concurrency import thread as thread_pool
from celery.exceptions import WorkerShutdown, WorkerTerminate
from celery.worker import state as _typed_state

from celery_graceful.grace.deadlines import Grace
from celery_graceful.stop import flag as stop_flag
from celery_graceful.worker.stopping.stop_signals import StopSignals

state: Any = _typed_state
Made = Callable[..., StopSignals]


@pytest.fixture
def flag() -> Iterator[stop_flag.StopFlag]:
    yield stop_flag.owned("worker@test")
    stop_flag.withdraw()


@pytest.fixture(autouse=True)
def _no_stop_is_left() -> Iterator[None]:
    yield
    state.should_stop = state.should_terminate = None


@pytest.fixture
def left() -> list[str]:
    """Whether the worker has given up."""
    return []


@pytest.fixture
def made(flag: stop_flag.StopFlag, left: list[str]) -> Made:
    def make(
        grace: float | None = 30, *, soft: float = 0, prefork: bool = True, learnt: bool = False
    ) -> StopSignals:
        worker = SimpleNamespace(
            hostname="worker@test",
            app=SimpleNamespace(conf=SimpleNamespace(worker_soft_shutdown_timeout=soft)),
            pool_cls=(prefork_pool if prefork else thread_pool).TaskPool,
        )
        known = None if grace is None else Grace(grace, 6, "a test", learnt)
        return StopSignals(worker, flag, known, lambda: None, lambda: left.append("left"))

    return make


def in_seconds(moment: float | None) -> float | None:
    return None if moment is None else round(moment - time.monotonic())


def test_a_warm_stop(made: Made, flag: stop_flag.StopFlag) -> None:
    stops = made()
    assert stops.on_signal("SIGTERM", False), "Celery's handler runs, too"
    assert flag.stop is not None
    assert not flag.stop.cold
    assert (in_seconds(flag.cut), in_seconds(flag.deadline)) == (24, 30)
    assert stops.why == "SIGTERM"


def test_a_period_that_was_only_learnt_spares_plain_tasks(
    made: Made, flag: stop_flag.StopFlag, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, learnt = made(), made(learnt=True)
    told.on_signal("SIGTERM", False)
    assert not told.spares_plain()
    learnt.on_signal("SIGTERM", False)
    assert (in_seconds(flag.cut), in_seconds(flag.deadline)) == (24, 30)
    assert learnt.spares_plain()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 29)
    assert learnt.spares_plain()
    assert not told.spares_plain()


@pytest.mark.parametrize(("soft", "spared"), [(0, False), (7, False)])
def test_a_cold_stop_spares_nobody(
    made: Made, flag: stop_flag.StopFlag, soft: float, spared: bool
) -> None:
    stops = made(learnt=True, soft=soft)
    stops.on_signal("SIGTERM", False)
    stops.on_signal("SIGQUIT", True)
    assert in_seconds(flag.cut) == soft
    assert stops.spares_plain() is spared


def test_the_kill_comes_after_the_first_signal(made: Made, flag: stop_flag.StopFlag) -> None:
    stops = made()
    stops.on_signal("SIGTERM", False)
    first = (flag.cut, flag.deadline)
    stops.on_signal("SIGTERM", False)
    assert (flag.cut, flag.deadline) == first


def test_a_stop_without_a_signal_kills_nobody(made: Made, flag: stop_flag.StopFlag) -> None:
    stops = made()
    stops.asked("shutdown")
    assert flag.raised
    assert (flag.cut, flag.deadline) == (None, None)
    stops.on_signal("SIGTERM", False)
    assert in_seconds(flag.deadline) == 30, "and then somebody does"
    assert stops.why == "shutdown"


def test_nobody_kills_a_worker_that_begins_anew(made: Made, flag: stop_flag.StopFlag) -> None:
    assert made().on_signal("SIGHUP", False)
    assert (flag.cut, flag.deadline) == (None, None)


def test_nobody_knows_of_a_kill(made: Made, flag: stop_flag.StopFlag) -> None:
    assert made(None).on_signal("SIGTERM", False)
    assert (flag.cut, flag.deadline) == (None, None)


@pytest.mark.parametrize("grace", [30, None])
def test_a_cold_stop_cuts_at_once(made: Made, flag: stop_flag.StopFlag, grace: float) -> None:
    assert not made(grace).on_signal("SIGQUIT", True), "Celery's handler would block"
    assert flag.stop is not None
    assert flag.stop.cold
    assert in_seconds(flag.cut) == 0
    assert state.should_stop == 0


@pytest.mark.parametrize("prefork", [True, False])
@pytest.mark.parametrize(("grace", "cut"), [(30, 10), (None, 10), (12, 6)])
def test_a_soft_stop_cuts_later_but_before_the_kill(
    made: Made, flag: stop_flag.StopFlag, grace: float, cut: float, prefork: bool
) -> None:
    assert not made(grace, soft=10, prefork=prefork).on_signal("SIGQUIT", True)
    assert flag.stop is not None
    assert not flag.stop.cold
    assert in_seconds(flag.cut) == cut


def test_the_second_cold_signal_cuts_at_once_and_the_third_ends_it(
    made: Made, flag: stop_flag.StopFlag
) -> None:
    stops = made(soft=10)
    stops.on_signal("SIGQUIT", True)
    stops.on_signal("SIGQUIT", True)
    assert in_seconds(flag.cut) == 0
    with pytest.raises(WorkerTerminate):
        stops.on_signal("SIGQUIT", True)


def test_other_pools_wait_in_a_cold_stop_as_with_celery(
    made: Made, flag: stop_flag.StopFlag
) -> None:
    made(None, prefork=False).on_signal("SIGQUIT", True)
    assert flag.cut is None
    assert state.should_stop == 0


def test_solo_ends_cold_when_its_task_has_returned(made: Made, flag: stop_flag.StopFlag) -> None:
    flag.set_solo()
    made(None, prefork=False).on_signal("SIGQUIT", True)
    assert state.should_terminate == 1


def test_solo_is_interrupted_once_and_then_left(
    made: Made, flag: stop_flag.StopFlag, left: list[str]
) -> None:
    flag.set_solo()
    stops = made(prefork=False)
    stops.on_signal("SIGTERM", False)
    flag.set_cut(time.monotonic() - 1)
    assert not stops.on_signal("SIGTERM", False), "nothing runs"
    request = SimpleNamespaceWithReference()
    state.active_requests.add(request)
    try:
        with pytest.raises(WorkerShutdown):
            stops.on_signal("SIGTERM", False)
        assert left == []
        with pytest.raises(WorkerShutdown):
            stops.on_signal("SIGTERM", False)
        assert left == ["left"]
    finally:
        state.active_requests.discard(request)


class SimpleNamespaceWithReference:
    """Anything that a weak set takes."""
