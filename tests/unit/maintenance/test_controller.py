"""What one worker does when modes and tasks come at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery.concurrency.prefork import TaskPool
from celery.worker import state as celery_state
from kombu.asynchronous.timer import Timer

from celery_graceful.maintenance.api import Maintenance
from celery_graceful.runtime import Runtime
from celery_graceful.stop import flag as stop_flag
from celery_graceful.tasks import former_names
from celery_graceful.worker.maintenance import announce
from celery_graceful.worker.maintenance.controller import MaintenanceController


def change(runtime: Runtime) -> Maintenance:
    """The API that an operator has."""
    return Maintenance(lambda: runtime.app)


class Begun:
    """A request that its worker has just begun."""

    type, id, time_start = "shop.mail", "m1", None
    message = SimpleNamespace(headers={}, delivery_info={"exchange": "", "routing_key": "mail"})


@pytest.fixture
def soon() -> list[Callable[[], None]]:
    """What the worker's loop does in its next turn."""
    return []


@pytest.fixture
def worker(runtime: Runtime, soon: list[Callable[[], None]]) -> Any:
    """What the maintenance needs of Celery's worker, connected."""
    celery_state.reserved_requests.clear()  # what tests before this one have left
    worker: Any = SimpleNamespace(
        app=runtime.app,
        hostname="w1@host",
        pool_cls=TaskPool,
        pool=None,
        concurrency=4,
        max_concurrency=None,
        started=[],
        timer=Timer(),
    )
    worker.process_task = worker.started.append
    worker.consumer = SimpleNamespace(
        controller=worker,
        connection=object(),
        task_consumer=None,
        task_buckets={},
        timer=worker.timer,
        add_task_queue=None,
        cancel_task_queue=None,
        call_soon=soon.append,
        connection_errors=(),
        channel_errors=(),
    )
    return worker


@pytest.fixture
def maintenance(worker: Any, runtime: Runtime) -> Iterator[MaintenanceController]:
    try:
        maintenance = MaintenanceController(
            worker, runtime, stop_flag.owned("w1@host/a"), forced=False
        )
        maintenance.watch.look()
        maintenance.reconnected(worker.consumer)
        yield maintenance
    finally:
        stop_flag.withdraw()


def test_a_report_misses_nothing_that_began_while_it_was_written(
    maintenance: MaintenanceController,
    runtime: Runtime,
    soon: list[Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    look, request = maintenance.gate.begun, Begun()

    def too_early() -> list[Any]:
        found = look()
        monkeypatch.setattr(maintenance.gate, "begun", look)
        celery_state.reserved_requests.add(request)
        maintenance.watch.learn(change(runtime).down().mode)
        soon.pop()()
        return found

    monkeypatch.setattr(maintenance.gate, "begun", too_early)
    early, late = maintenance.report(), maintenance.report()
    celery_state.reserved_requests.discard(request)
    assert (late.paused, [busy.id for busy in late.busy]) == (True, ["m1"])
    assert early.version < late.version


def test_a_ramp_does_not_undo_a_down_of_the_same_moment(
    maintenance: MaintenanceController, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(runtime).down()
    maintenance.watch.look()
    change(runtime).up(ramp=600)
    maintenance.watch.look()
    held = change(runtime).down().mode
    maintenance.watch.rank, maintenance.watch.workers = 0, 100  # what is allowed has changed
    broadcast = threading.Thread(target=maintenance.watch.learn, args=(held,))
    set_gate = maintenance.gate.set

    def slowly(*args: Any, **options: Any) -> None:
        monkeypatch.setattr(maintenance.gate, "set", set_gate)
        broadcast.start()
        broadcast.join(0.3)
        set_gate(*args, **options)

    monkeypatch.setattr(maintenance.gate, "set", slowly)
    maintenance._ramp()
    broadcast.join()
    assert maintenance.gate.held.everything


def test_a_ramp_does_not_hold_up_exempt_queues(
    maintenance: MaintenanceController,
    worker: Any,
    runtime: Runtime,
    soon: list[Callable[[], None]],
) -> None:
    alert, mail = Begun(), Begun()
    alert.message = SimpleNamespace(
        headers={}, delivery_info={"exchange": "", "routing_key": "alerts"}
    )
    change(runtime).down()
    maintenance.watch.look()
    change(runtime).up(ramp=600)
    maintenance.watch.look()
    soon.pop()()
    maintenance.watch.rank, maintenance.watch.workers = 0, 100  # others have their turn first
    maintenance._ramp()
    for request in (mail, alert):
        worker.process_task(request)
    assert worker.started == [alert]


def test_a_paused_worker_says_so_again_and_again(
    maintenance: MaintenanceController,
    runtime: Runtime,
    soon: list[Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(announce, "REMIND", 0.0)
    maintenance.report()
    assert "Still in maintenance" not in caplog.text
    maintenance.watch.learn(change(runtime).down().mode)
    soon.pop()()
    maintenance.report()
    maintenance.report()
    assert caplog.text.count("Still in maintenance") >= 2
    change(runtime).up()
    maintenance.watch.look()
    soon.pop()()
    caplog.clear()
    maintenance.report()
    assert "Still in maintenance" not in caplog.text


def test_what_is_held_and_arrives_makes_no_reports(
    maintenance: MaintenanceController,
    worker: Any,
    runtime: Runtime,
    soon: list[Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rings: list[int] = []
    monkeypatch.setattr(maintenance.watch, "ring", lambda: rings.append(1))
    monkeypatch.setattr(maintenance.gate, "_park", lambda requests: [])
    maintenance.watch.learn(change(runtime).down(tasks=["shop.mail"]).mode)
    soon.pop()()
    assert len(rings) == 1, "it is in force"
    for _ in range(5):
        worker.process_task(Begun())
        soon.pop()()
    assert len(rings) == 1
    maintenance.reconnected(worker.consumer)
    assert len(rings) == 2
    maintenance.watch.learn(change(runtime).up().mode)
    soon.pop()()
    assert len(rings) == 3


@pytest.mark.parametrize("named", ["shop.mail.all", "shop.mail_all"])
def test_a_renamed_task_is_held_by_each_of_its_names(
    worker: Any, runtime: Runtime, named: str
) -> None:
    @runtime.app.task(name="shop.mail.all", former_names=["shop.mail_all"], shared=False)
    def mail_all() -> None: ...

    former_names.register(runtime.app)
    plan = change(runtime).plan(tasks=[named])
    assert plan.tasks == ("shop.mail.all", "shop.mail_all")
    change(runtime).down(tasks=[named])
    try:
        maintenance = MaintenanceController(
            worker, runtime, stop_flag.owned("w1@host/a"), forced=False
        )
        maintenance.watch.look()
        assert maintenance.held_by_name("shop.mail.all")
        assert maintenance.held_by_name("shop.mail_all")
        assert not maintenance.held_by_name("shop.mail")
    finally:
        stop_flag.withdraw()
