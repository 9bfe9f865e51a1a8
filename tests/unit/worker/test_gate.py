"""What the gate goes by: a task's real name, and the queue of a run that came by another."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.concurrency import prefork, solo

from celery_graceful._celery.consumer.request import RunRequest
from celery_graceful._celery.message.headers import HOME
from celery_graceful.model.maintenance.held import Held
from celery_graceful.worker.maintenance import gate as gate_module
from celery_graceful.worker.maintenance.gate import Gate


def request(queue: str, home: str | None = None, task: str = "shop.mail") -> Any:
    headers = {} if home is None else {HOME: ["", home, None]}
    info = {"exchange": "", "routing_key": queue}
    message = SimpleNamespace(headers=headers, delivery_info=info)
    return SimpleNamespace(type=task, name="shown as this", message=message, acknowledged=False)


POOLS = {"prefork": prefork.TaskPool, "solo": solo.TaskPool}


class Yard:
    """A gate of a worker that is connected, and what went through it, aside or back."""

    def __init__(
        self,
        pool: str = "prefork",
        exempt: frozenset[str] = frozenset(),
        faulty: frozenset[str] = frozenset(),
    ) -> None:
        self.started: list[Any] = []
        self.aside: list[Any] = []
        self.looks: list[float] = []
        self.begin: Callable[[Any], None] = self.started.append
        self.worker: Any = SimpleNamespace(
            app=Celery("shop", set_as_current=False),
            pool_cls=POOLS[pool],
            pool=None,
            process_task=lambda request: self.begin(request),
        )
        consumer = SimpleNamespace(
            controller=self.worker,
            task_consumer=None,
            task_buckets={},
            timer=SimpleNamespace(queue=[]),
            add_task_queue=None,
            cancel_task_queue=None,
            call_soon=lambda call: None,
        )
        self.worker.consumer = consumer
        self.gate = Gate(self.worker, self._park, self.looks.append, lambda: None, exempt, faulty)
        self.gate.connected(consumer)

    def _park(self, requests: list[Any]) -> list[Any]:
        self.aside += requests
        return []

    def held(self, held: Held, *requests: Any) -> list[bool]:
        self.gate.set(held)
        return [self.gate._stays(self.gate.held, request) for request in requests]


def test_a_run_is_held_by_its_own_queue_and_by_the_one_it_came_by() -> None:
    yard = Yard()
    ahead, plain = request("resumed", "reports"), request("resumed")
    assert yard.held(Held(queues=frozenset({"reports"})), ahead, plain) == [True, False]
    assert yard.held(Held(queues=frozenset({"resumed"})), ahead, plain) == [True, True]
    assert yard.held(Held(queues=frozenset({"other"})), ahead, plain) == [False, False]


def test_the_run_s_own_queue_decides_whether_it_is_exempt() -> None:
    yard = Yard()
    mine, other = request("resumed", "alerts"), request("alerts", "reports")
    held = Held(everything=True, exempt=frozenset({"alerts"}))
    assert yard.held(held, mine, other) == [False, True]
    by_name = Held(tasks=("shop.*",), exempt=frozenset({"alerts"}))
    assert yard.held(by_name, mine, other) == [False, True]


def test_a_report_names_the_queue_that_is_held() -> None:
    gate, ahead = Yard().gate, request("resumed", "reports")
    for held, queue in [
        (Held(), "reports"),
        (Held(queues=frozenset({"reports"})), "reports"),
        (Held(queues=frozenset({"resumed"})), "resumed"),
        (Held(everything=True, exempt=frozenset({"reports"})), "reports"),
    ]:
        assert gate.queue_to_hold(held, ahead) == queue


def test_a_run_whose_own_queue_is_held_is_parked_from_one_that_is_open() -> None:
    yard = Yard()
    ahead, plain = request("resumed", "reports"), request("resumed")
    yard.gate.set(Held(queues=frozenset({"reports"})))
    for it in (ahead, plain):
        yard.worker.process_task(it)
    yard.gate.enforce()
    assert (yard.aside, yard.started) == ([ahead], [plain])


def test_a_task_that_is_shown_by_another_name_is_held_by_its_own() -> None:
    mail = request("celery")
    assert Yard().held(Held(tasks=("shop.mail",)), mail) == [True]
    assert Yard().held(Held(tasks=("shown*",)), mail) == [False]


def test_on_solo_a_long_task_is_followed_by_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "LONG", 0.01)
    yard = Yard("solo")
    yard.worker.process_task(request("celery"))
    assert yard.looks == []
    yard.begin = lambda request: time.sleep(0.02)
    began = time.monotonic()
    yard.worker.process_task(request("celery"))
    yard.begin = yard.started.append
    for _ in range(3):
        yard.worker.process_task(request("celery"))
    (asked_for,) = yard.looks
    assert asked_for > began, "it asks for a look that began after the task had ended"


# -- runs that cannot start ------------------------------------------------------------------


class Run(RunRequest):
    """A request of an iterable task, without what Celery makes of it."""

    type = id = name = message = acknowledged = time_start = worker_pid = None

    def __init__(self, task: str = "shop.import") -> None:
        self.type = self.id = self.name = task
        self.message = request("celery").message
        self.acknowledged = False


def test_while_the_store_is_away_runs_are_parked_and_plain_tasks_pass() -> None:
    yard = Yard()
    run, plain = Run(), request("celery")
    yard.gate.set(Held(), runs_wait=True)
    for it in (run, plain):
        yard.worker.process_task(it)
    yard.gate.enforce()  # in the loop's next turn
    assert (yard.started, yard.aside) == ([plain], [run])
    yard.gate.set(Held())
    yard.worker.process_task(again := Run())
    assert yard.started == [plain, again]


def test_a_run_that_waits_here_starts_when_the_store_is_back_before_it_is_parked() -> None:
    yard = Yard()
    yard.gate.set(Held(), runs_wait=True)
    yard.worker.process_task(run := Run())
    yard.gate.set(Held())
    yard.gate.enforce()
    assert (yard.started, yard.aside) == ([run], [])


def test_one_that_was_not_admitted_is_parked_whatever_the_store_says_by_then() -> None:
    yard = Yard()
    run = Run()
    run.postponed = True
    yard.gate.postpone(run)
    yard.gate.enforce()
    assert (yard.started, yard.aside) == ([], [run])


def test_a_faulty_task_waits_and_others_start() -> None:
    yard = Yard(faulty=frozenset({"shop.faulty"}))
    faulty, sound, plain = Run("shop.faulty"), Run(), request("celery", task="shop.faulty")
    for it in (faulty, sound, plain):
        yard.worker.process_task(it)
    yard.gate.enforce()
    assert yard.started == [sound, plain], "a plain task of that name is none of ours"
    assert yard.aside == [faulty]


def test_without_the_rest_of_the_plugin_plain_tasks_start_and_runs_do_not() -> None:
    yard = Yard()
    yard.gate.intake = None
    yard.gate.set(Held(), runs_wait=True)
    run, plain = Run(), request("celery")
    for it in (run, plain):
        yard.worker.process_task(it)
    assert (yard.started, yard.aside) == ([plain], [run])
