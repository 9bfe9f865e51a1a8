from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, shared_task
from celery.exceptions import SoftTimeLimitExceeded

from celery_graceful import signals
from celery_graceful.signals import TaskSignal, emit

ALL = [value for value in vars(signals).values() if isinstance(value, TaskSignal)]


class FakeTask:
    name = "shop.import"


@pytest.fixture
def signal() -> TaskSignal:
    return TaskSignal("a-signal")


@pytest.fixture
def app() -> Iterator[Celery]:
    app = Celery("signals-test", broker="memory://", set_as_current=False)
    yield app
    app.close()


def test_every_signal_is_exported_named_and_documented() -> None:
    of_workers = 2  # these tell of no run
    of_tasks = 2
    assert len(ALL) == 10 + of_tasks + of_workers
    for signal in ALL:
        variable = signal.name.replace("-", "_")
        assert getattr(signals, variable) is signal
        assert variable in signals.__all__
        assert signal.__doc__
    comments = inspect.getsource(signals).count("Details: ``task_id``")
    # "task_lost" refers to the one before
    assert comments == len(ALL) - of_workers - 1


def test_receivers_get_sender_and_details(signal: TaskSignal) -> None:
    got: list[Any] = []
    task = FakeTask()
    signal.connect(lambda sender, **details: got.append((sender, details)), weak=False)
    emit(signal, task, task_id="1", cursor=5)
    assert got == [(task, {"task_id": "1", "cursor": 5})]


def test_without_receivers_nothing_is_looked_at(
    signal: TaskSignal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "receivers_for", None)
    emit(signal, FakeTask(), task_id="1")


def test_muted(signal: TaskSignal) -> None:
    got: list[Any] = []
    signal.connect(lambda sender, **_: got.append(sender), weak=False)
    with signal.muted():
        emit(signal, FakeTask(), task_id="1")
    assert got == []


def test_a_receiver_that_raises_is_logged_and_the_others_run(
    signal: TaskSignal, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[str] = []

    def broken(sender: Any, **details: Any) -> None:
        raise RuntimeError("the metrics server is away")

    def first(sender: Any, **details: Any) -> None:
        got.append("first")

    def last(sender: Any, **details: Any) -> None:
        got.append("last")

    for receiver in (first, broken, last):
        signal.connect(receiver)
    emit(signal, FakeTask(), task_id="run-7")

    assert sorted(got) == ["first", "last"]
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    message = record.getMessage()
    for part in ("broken", __name__, "a-signal", "shop.import", "run-7"):
        assert part in message
    assert record.exc_info is not None
    assert "metrics server" in str(record.exc_info[1])


def test_without_a_run_id(signal: TaskSignal, caplog: pytest.LogCaptureFixture) -> None:
    signal.connect(lambda sender, **_: 1 / 0, weak=False)
    emit(signal, FakeTask())
    assert "no id" in caplog.text


@pytest.mark.parametrize("error", [SoftTimeLimitExceeded, KeyboardInterrupt, SystemExit])
def test_what_is_meant_for_the_task_goes_through(
    signal: TaskSignal, error: type[BaseException]
) -> None:
    def receiver(sender: Any, **details: Any) -> None:
        raise error()

    signal.connect(receiver)
    with pytest.raises(error):
        emit(signal, FakeTask(), task_id="1")


def test_a_coroutine_function_is_reported(
    signal: TaskSignal, caplog: pytest.LogCaptureFixture
) -> None:
    async def receiver(sender: Any, **details: Any) -> None: ...

    signal.connect(receiver)
    emit(signal, FakeTask(), task_id="1")
    assert "coroutine" in caplog.text


def test_a_receiver_may_disconnect_itself(signal: TaskSignal) -> None:
    got: list[Any] = []

    def once(sender: Any, **details: Any) -> None:
        got.append(sender)
        signal.disconnect(once)

    signal.connect(once)
    emit(signal, FakeTask())
    emit(signal, FakeTask())
    assert len(got) == 1


def test_only_for_one_task(signal: TaskSignal, app: Celery) -> None:
    got: list[Any] = []

    @app.task(name="a", shared=False)
    def a() -> None: ...

    @app.task(name="b", shared=False)
    def b() -> None: ...

    @signal.connect_via(a)
    def receiver(sender: Any, **details: Any) -> None:
        got.append(sender.name)

    signal.connect(receiver)  # twice over: still called once
    signal.disconnect(receiver)
    signal.connect_via(a)(receiver)
    emit(signal, app.tasks["a"])
    emit(signal, app.tasks["b"])
    assert got == ["a"]
    signal.disconnect(receiver, sender=a)
    emit(signal, app.tasks["a"])
    assert got == ["a"]


def test_a_receiver_for_all_and_for_one_is_called_once(signal: TaskSignal, app: Celery) -> None:
    got: list[Any] = []

    @app.task(name="a", shared=False)
    def a() -> None: ...

    def receiver(sender: Any, **details: Any) -> None:
        got.append(sender.name)

    signal.connect(receiver)
    signal.connect(receiver, sender=a)
    emit(signal, app.tasks["a"])
    assert got == ["a"]


def test_connecting_a_shared_task_does_not_resolve_it(
    signal: TaskSignal, app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    got: list[Any] = []
    monkeypatch.setattr("celery._state._tls.current_app", app)

    @shared_task(name="signals-test.shared")
    def shared() -> None: ...

    def receiver(sender: Any, **details: Any) -> None:
        got.append(sender.name)

    signal.connect(receiver, sender=shared)
    assert not app.finalized  # type: ignore[attr-defined]
    emit(signal, app.tasks["signals-test.shared"])
    assert got == ["signals-test.shared"]


def test_a_proxy_that_cannot_be_resolved_is_logged(
    signal: TaskSignal, caplog: pytest.LogCaptureFixture
) -> None:
    class Proxy:
        def _get_current_object(self) -> None:
            raise LookupError("no such task")

    proxy = Proxy()
    signal.connect(lambda sender, **_: None, sender=proxy, weak=False)
    emit(signal, FakeTask(), task_id="1")
    assert "cannot be found" in caplog.text
