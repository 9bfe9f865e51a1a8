"""Whatever stops a worker: its runs go on elsewhere, exactly where they were, and at once.

Each test runs a generator and a class in one worker while a second one waits. 2,000 items of 20 ms;
once a run was resumed, the items that are left take no time, unless ``GRACEFUL_FULL=1``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1
from typing import Any

import celery
import pytest

from tests.acceptance.conftest import Figure
from tests.acceptance.runs import FULL, STYLES, Stage, check_log_of_leaving
from tests.harness import Worker

ITEMS, PAUSE = 2000, 0.02
BEFORE_STOP = 20
#: A first resumed item later than this is a failure: nobody but the rescuer has seen to it, after a
#: lease of 30 s. The figure aimed at is 1.5.
LATEST = 20.0
SOFT = {"worker_soft_shutdown_timeout": 2.0}
REMAP: dict[str, str | None] = {"REMAP_SIGTERM": "SIGQUIT"}


class ConsoleWorker(Worker):
    """Started by the ``celery`` script: ``python -m celery`` cannot re-execute itself."""

    def __init__(self, app: str, **options: Any) -> None:
        super().__init__(app, **options)
        self._argv[:3] = [str(Path(sys.executable).with_name("celery"))]


class EmbeddedWorker(Worker):
    """A Python program with a worker in it; ``EMBEDDED_STOP`` says how the program stops it."""

    def __init__(self, app: str, **options: Any) -> None:
        super().__init__(app, **options)
        how = options["env"]["EMBEDDED_STOP"]
        program = "tests.acceptance.apps.embedded"
        self._argv = [sys.executable, "-m", program, f"{self.name}@localhost", how]


@dataclass
class Trigger:
    """One way to stop a worker."""

    name: str
    pull: Callable[[Stage, Worker], None]
    settings: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str | None] = field(default_factory=dict)
    kind: type[Worker] = Worker
    restarts: bool = False
    #: Where it is pulled without ``--all``.
    broker: str = "redis"
    #: Stock Celery's ``stop()``, called from another thread, waits for ever for the broker's answer
    #: when the loop's thread has read it: RabbitMQ's, and, before kombu bounded that, the answer to
    #: Redis's poll. Nobody releases the executions then; they time out and leave.
    may_hang: bool = False


def waits_for_ever(broker: str) -> bool:
    """Whether nothing bounds what a thread waits for that another has read."""
    return broker.startswith("amqp") or celery.VERSION[:2] < (5, 7)


def send(number: int) -> Callable[[Stage, Worker], None]:
    """Send a signal to the main process."""
    return lambda _, worker: worker.signal(number)


def interrupt_twice(_: Stage, worker: Worker) -> None:
    worker.signal(SIGINT)
    worker.wait_log("Hitting Ctrl\\+C again")
    worker.signal(SIGINT)


def remote_control(stage: Stage, worker: Worker) -> None:
    stage.app.control.shutdown(destination=[f"{worker.name}@localhost"])


TRIGGERS = [
    Trigger("SIGTERM", send(SIGTERM), broker="rabbitmq"),
    Trigger("SIGINT", send(SIGINT)),
    Trigger("SIGINT twice", interrupt_twice),
    Trigger("SIGQUIT cold", send(SIGQUIT)),
    Trigger("SIGQUIT soft", send(SIGQUIT), settings=SOFT, broker="rabbitmq"),
    Trigger("REMAP cold", send(SIGTERM), env=REMAP),
    Trigger("REMAP soft", send(SIGTERM), env=REMAP, settings=SOFT),
    Trigger("SIGHUP", send(SIGHUP), kind=ConsoleWorker, restarts=True),
    Trigger("control shutdown", remote_control, broker="rabbitmq"),
    Trigger("group SIGTERM", lambda _, worker: worker.signal_group(SIGTERM)),
    *(
        Trigger(
            f"embedded {how}",
            send(SIGUSR1),
            env={"EMBEDDED_STOP": how},
            kind=EmbeddedWorker,
            may_hang=how == "stop",
        )
        for how in ("stop", "should_stop", "should_terminate")
    ),
]


@pytest.mark.core
@pytest.mark.slow
@pytest.mark.parametrize(
    "trigger",
    [
        pytest.param(
            trigger,
            id=trigger.name.replace(" ", "-"),
            marks=pytest.mark.brokers(trigger.broker),
        )
        for trigger in TRIGGERS
    ],
)
def test_a_stopped_worker_hands_its_runs_over(
    stage: Stage, trigger: Trigger, figure: Figure
) -> None:
    worker = stage.worker("stopped", kind=trigger.kind, env=trigger.env, settings=trigger.settings)
    waiting = stage.waiting()
    worker.wait_ready()
    waiting.wait_ready()
    runs = [stage.start(style, ITEMS, PAUSE) for style in STYLES]
    for run in runs:
        run.wait_items(BEFORE_STOP)
    stage.let_in(waiting)

    stopped_at = time.monotonic()
    trigger.pull(stage, worker)
    delays = [run.wait_resumed(stopped_at) for run in runs]
    for run, delay in zip(runs, delays, strict=True):
        if not FULL:
            run.hurry()
        figure(f"first resumed item: {trigger.name}", delay)

    for run in runs:
        run.check_result(120)
        run.check_exact()
        cursor = check_log_of_leaving(worker, run)
        waiting_or_restarted = worker if trigger.restarts else waiting
        log = waiting.log() + waiting_or_restarted.log()
        assert f"[{run.id}] resumes after cursor {cursor} " in log
    if trigger.restarts:
        worker.wait_ready(times=2)
    elif not (trigger.may_hang and waits_for_ever(stage.broker)):
        worker.wait()
    assert max(delays) < LATEST + trigger.settings.get("worker_soft_shutdown_timeout", 0)
