"""What is no ``Exception``: a stop, or the task's own, which fails the run."""

from __future__ import annotations

import asyncio
import signal
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import Ignore, Reject, WorkerShutdown, WorkerTerminate

from celery_graceful.errors import BaseExceptionRaised, CutOff, StoreUnavailable
from celery_graceful.execution import ending
from celery_graceful.execution.stopping import base_exceptions, limits

greenlet = pytest.importorskip("greenlet")


class Own(BaseException):
    """Of the user's own."""


class Timeout(BaseException):
    """As gevent's, which carries its seconds."""

    __module__ = "gevent.timeout"

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds


OWN = (
    *(SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit(), Own()),
    *(CutOff(), greenlet.GreenletExit(), WorkerShutdown(0), WorkerTerminate(1), Timeout(3)),
)


def flag(*, raised: bool = False, solo: bool = False) -> Any:
    import os

    return SimpleNamespace(raised=raised, solo=solo, owner_pid=os.getpid() if solo else 0)


def request(limit: float | None = None) -> Any:
    return SimpleNamespace(timelimit=(limit, None))


@pytest.mark.parametrize("exc", OWN, ids=lambda exc: type(exc).__name__)
def test_without_a_stop_it_is_the_tasks_own(exc: BaseException) -> None:
    signal_before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a pool child
    try:
        assert not base_exceptions.is_stop(exc, flag(), request(60))
    finally:
        signal.signal(signal.SIGINT, signal_before)


@pytest.mark.parametrize("exc", [SystemExit(1), Own(), GeneratorExit(), asyncio.CancelledError()])
def test_during_a_stop_it_is_the_tasks_own_all_the_same(exc: BaseException) -> None:
    assert not base_exceptions.is_stop(exc, flag(raised=True), request())


@pytest.mark.parametrize("exc", [CutOff(), greenlet.GreenletExit()])
def test_what_a_stopping_worker_raises(exc: BaseException) -> None:
    assert base_exceptions.is_stop(exc, flag(raised=True), request())


def test_a_cold_stop_on_solo_raises_in_the_task() -> None:
    assert base_exceptions.is_stop(WorkerTerminate(1), flag(raised=True, solo=True), request())
    assert not base_exceptions.is_stop(WorkerTerminate(1), flag(raised=True), request())


def test_a_signal_that_ends_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_exceptions, "is_ending", lambda: True)
    assert base_exceptions.is_stop(SystemExit(0), flag(), request())
    assert base_exceptions.is_stop(Own(), flag(), request()), "cleanup that failed meanwhile"


def test_a_hard_limit_of_greenlets() -> None:
    assert base_exceptions.is_stop(Timeout(60), flag(), request(60))
    assert not base_exceptions.is_stop(Timeout(3), flag(), request(60))
    assert not base_exceptions.is_stop(Timeout(None), flag(), request(None))


def test_ctrl_c_in_an_embedded_worker() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    seen = []
    try:
        assert base_exceptions.is_stop(KeyboardInterrupt(), flag(), request())
        thread = threading.Thread(
            target=lambda: seen.append(
                base_exceptions.is_stop(KeyboardInterrupt(), flag(), request())
            )
        )
        thread.start()
        thread.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [False]


class Unshowable(BaseException):
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_the_error_says_what_was_raised_and_what_to_do() -> None:
    text = str(base_exceptions.failure_of("proj.task[1]", SystemExit(3)))
    assert "proj.task[1]" in text
    assert "SystemExit(3)" in text
    assert "Raise an Exception" in text
    assert "Unshowable" in str(base_exceptions.failure_of("proj.task[1]", Unshowable()))


def test_it_is_not_retried() -> None:
    task = SimpleNamespace(_orig_run=1, autoretry_for=(Exception,))
    error = base_exceptions.failure_of("x", SystemExit(1))
    assert not limits.will_autoretry(task, error)  # type: ignore[arg-type]


# -- what becomes of the run ---------------------------------------------------------------------


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    done: list[Any] = []
    monkeypatch.setattr(ending, "_save_failure", lambda run, exc: done.append(exc))
    monkeypatch.setattr(ending, "release_at_kill", lambda run: done.append("abandoned"))
    return SimpleNamespace(
        done=done,
        flag=flag(),
        request=request(),
        left=False,
        key="run",
        execution=SimpleNamespace(cursor=1, steps=1),
        ticket=SimpleNamespace(
            refused="killed", stands=lambda: True, record=SimpleNamespace(state="x")
        ),
    )


def test_the_run_fails(run: Any) -> None:
    with pytest.raises(BaseExceptionRaised) as caught:
        ending.fail(run, SystemExit(1))
    assert run.done == [caught.value]
    assert isinstance(caught.value.__cause__, SystemExit)


def test_the_run_fails_though_the_store_is_away(run: Any) -> None:
    def away() -> bool:
        raise StoreUnavailable("away")

    run.ticket.stands = away
    with pytest.raises(BaseExceptionRaised):
        ending.fail(run, SystemExit(1))


def test_a_run_that_was_revoked_ends_without_a_trace(run: Any) -> None:
    run.ticket.stands = lambda: False
    with pytest.raises(Ignore):
        ending.fail(run, greenlet.GreenletExit())
    assert run.done == []


def test_a_run_that_has_left_does_not_fail(run: Any) -> None:
    run.left = True
    with pytest.raises(Ignore):
        ending.fail(run, SystemExit(1))
    assert run.done == []


def test_a_stop_goes_through(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_exceptions, "is_ending", lambda: True)
    ending.fail(run, SystemExit(1))
    assert run.done == ["abandoned"]


def test_a_killed_greenlets_message_goes_back(run: Any) -> None:
    run.flag = flag(raised=True)
    with pytest.raises(Reject) as caught:  # gevent's pool would take the exit for a success
        ending.fail(run, greenlet.GreenletExit())
    assert caught.value.requeue  # type: ignore[attr-defined]
