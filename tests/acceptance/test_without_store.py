"""The store away, refusing or never there: plain tasks go on, runs wait and nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest
from celery import Celery

from celery_graceful import Graceful
from celery_graceful.maintenance.barrier import WorkerState
from celery_graceful.model.run.record import RunKey
from celery_graceful.stores.url import open_store
from celery_graceful.worker.parking.run_parking import queue_for_runs
from tests.acceptance.runs import STYLES, Run, Stage
from tests.harness import Ledger, wait_for
from tests.servers import Valkey

pytestmark = pytest.mark.slow

LEASE = 2.0
SETTINGS = {
    "graceful_lease_ttl": LEASE,
    "graceful_checkpoint_interval": 0.3,
    "graceful_store_timeout": 1.0,
    "graceful_maintenance_poll": 1.0,
}
#: So many that neither the slots nor the prefetch window of a worker hold them.
RUNS = 30


@pytest.fixture
def stage(own_valkey: Valkey, redis_url: str, tmp_path: Path) -> Iterator[Stage]:
    """A stage whose store can be stopped by itself."""
    with Stage(redis_url, redis_url, tmp_path, store=own_valkey.url).open() as stage:
        stage.settings.update(SETTINGS)
        yield stage


def matrix(value: Any) -> Any:
    """One of many combinations."""
    return pytest.param(value, marks=pytest.mark.matrix)


class Mixed:
    """Plain tasks behind runs, in one queue."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.runs: list[Run] = []
        self._plain = Ledger(stage.folder / "plain.jsonl")
        self._sent = 0

    def send(self, runs: int, plain: int = 20) -> None:
        self.runs += [self.stage.start(STYLES[n % 2], 5, 0.01) for n in range(runs)]
        for _ in range(plain):
            self.stage.send("items.tell", self._sent, str(self._plain.path))
            self._sent += 1

    def wait_plain(self, timeout: float = 20.0) -> None:
        """Wait until all plain tasks are done."""
        wait_for(
            lambda: len(self._plain) >= self._sent,
            timeout,
            lambda: f"{len(self._plain)} of {self._sent} plain tasks done",
        )

    def check_none_began(self) -> None:
        assert [run.ledger.items() for run in self.runs if run.ledger.items()] == []

    def check_all_done(self) -> None:
        for run in self.runs:
            run.check_result()
            run.check_exact()


def let_pass(seconds: float) -> None:
    """Wait for what is meant not to happen in that time."""
    until = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() > until, 30 + seconds, "the time", interval=0.1)


def one_has_ended(stage: Stage) -> None:
    """A run from its start to its end, so that no execution waits for the store in its slot."""
    run = stage.start(STYLES[0], 5, 0.01)
    run.check_result()
    store = open_store(stage.settings["graceful_store"], "items")
    key = RunKey(STYLES[0], run.id)
    wait_for(lambda: not getattr(store.load(key).record, "live", True), 20, "its end")
    store.close()


@pytest.mark.parametrize("pool", ["prefork", "solo", matrix("threads"), matrix("gevent")])
def test_plain_tasks_pass_runs_that_wait(stage: Stage, own_valkey: Valkey, pool: str) -> None:
    if pool == "gevent":
        pytest.importorskip("gevent")
    worker = stage.worker("worker", pool=pool).wait_ready()
    one_has_ended(stage)
    own_valkey.freeze()
    mixed = Mixed(stage)
    mixed.send(RUNS)
    mixed.wait_plain()
    let_pass(2 * LEASE)
    mixed.send(RUNS)
    mixed.wait_plain()
    mixed.check_none_began()
    own_valkey.thaw()
    mixed.check_all_done()
    assert worker.exit_code is None


@pytest.mark.parametrize("pool", ["prefork", matrix("solo"), matrix("threads"), matrix("gevent")])
def test_executions_leave_their_slots(stage: Stage, own_valkey: Valkey, pool: str) -> None:
    """All slots are taken by runs when the store goes away."""
    if pool == "gevent":
        pytest.importorskip("gevent")
    slots = 1 if pool == "solo" else 2
    worker = stage.worker("worker", pool=pool, concurrency=slots).wait_ready()
    mixed = Mixed(stage)
    mixed.runs = [stage.start(STYLES[n], 400, 0.02) for n in range(slots)]
    for run in mixed.runs:
        run.wait_items(20)
    own_valkey.freeze()
    mixed.send(0)
    mixed.wait_plain()
    worker.wait_log("waits for the store without a slot", 10)
    let_pass(2 * LEASE)
    mixed.send(0)
    mixed.wait_plain(5)
    assert any(run.lost() for run in mixed.runs), "they were done too soon to show anything"
    own_valkey.thaw()
    mixed.check_all_done()
    assert worker.exit_code is None


@pytest.mark.parametrize("order", ["one server", matrix("store first"), matrix("broker first")])
def test_the_broker_is_away_as_well(
    own_valkey: Valkey, tmp_path: Path, redis_url: str, order: str
) -> None:
    """No message can be sent: the execution waits in its slot, and continues or leaves later."""
    with Valkey() as other:
        broker = own_valkey if order == "one server" else other
        with Stage(broker.url, redis_url, tmp_path, store=own_valkey.url).open() as stage:
            stage.settings.update(SETTINGS)
            worker = stage.worker("worker", concurrency=1).wait_ready()
            run = stage.start(STYLES[0], 200, 0.02)
            run.wait_items(20)
            servers = list(dict.fromkeys([own_valkey, broker]))
            for server in servers:
                server.freeze()
            let_pass(3 * LEASE)
            assert run.lost(), "it was done too soon to show anything"
            done = len(run.ledger)
            for server in servers if order == "store first" else reversed(servers):
                server.thaw()
                let_pass(LEASE)
            assert len(run.ledger) > done
            run.check_result()
            run.check_exact()
            assert worker.exit_code is None


# -- refusing, and never there -----------------------------------------------------------------


def test_a_store_that_refuses(stage: Stage, own_valkey: Valkey) -> None:
    worker = stage.worker("worker").wait_ready()
    one_has_ended(stage)
    with own_valkey.client() as client:
        client.config_set("requirepass", "changed")
        client.client_kill_filter(_type="normal", skipme=True)
        mixed = Mixed(stage)
        mixed.send(RUNS)
        mixed.wait_plain()
        worker.wait_log("The store cannot be used. .* refused the operation", 20)
        mixed.check_none_began()
        client.config_set("requirepass", "")
    mixed.check_all_done()
    assert worker.exit_code is None


ALWAYS = ("closed port", "no such kind")
NEVER = {
    "closed port": "redis://127.0.0.1:1/0",
    "no such host": "redis://no-such-host.invalid/0",
    "no such kind": "mongodb://127.0.0.1/runs",
    "no driver": "mysql+nodriver://127.0.0.1/runs",
    "one process": "memory://",
    "no such folder": "sqlite:////nowhere/runs.sqlite3",
}


@pytest.mark.parametrize(
    "kind", [ALWAYS[0], ALWAYS[1], *(matrix(k) for k in NEVER if k not in ALWAYS)]
)
def test_a_store_that_never_was(stage: Stage, kind: str) -> None:
    worker = stage.worker("never", settings={"graceful_store": NEVER[kind]}).wait_ready()
    mixed = Mixed(stage)
    mixed.send(RUNS)
    mixed.wait_plain()
    mixed.check_none_began()
    worker.signal(SIGTERM)
    assert worker.wait() == 0
    # A worker that can start runs finds those that wait.
    stage.worker("other").wait_ready()
    mixed.check_all_done()


# -- the plugin itself -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [{"graceful_lease_ttl": "soon"}, matrix({"graceful_namespce": "x"})],
    ids=str,
)
def test_a_worker_whose_plugin_cannot_start(stage: Stage, settings: dict[str, Any]) -> None:
    failed = stage.worker("failed", settings=settings).wait_ready()
    failed.wait_log("ERROR.* celery-graceful could not start on this worker: .*graceful_", 20)
    mixed = Mixed(stage)
    mixed.send(10)
    mixed.wait_plain()
    mixed.check_none_began()
    answer = Graceful(with_settings(stage)).maintenance.status()
    (seen,) = [seen for seen in answer.workers if seen.hostname == "failed@localhost"]
    assert seen.state is WorkerState.FAILED
    assert next(iter(settings)) in seen.failure
    # Both consume the queue: what the one cannot start, the other does.
    stage.worker("sound").wait_ready()
    mixed.check_all_done()
    failed.signal(SIGTERM)
    assert failed.wait() == 0


def with_settings(stage: Stage) -> Celery:
    stage.app.conf.update(stage.settings, graceful_namespace="items")
    return stage.app


def test_one_task_that_is_written_wrong(stage: Stage) -> None:
    with_settings(stage)
    worker = stage.worker("worker", app="tests.acceptance.apps.faulty").wait_ready()
    worker.wait_log(r"ERROR.* items\.faulty \(.*faulty\.py:\d+\): it takes no cursor")
    waits = [stage.send("items.faulty", "x", 1, 0) for _ in range(RUNS)]
    mixed = Mixed(stage)
    mixed.send(5)
    mixed.wait_plain()
    mixed.check_all_done()
    lot = queue_for_runs(Celery("items", broker=stage.broker), stage.broker, 5)
    wait_for(lambda: lot.waiting() == RUNS, 20, lambda: f"{lot.waiting()} wait")
    assert {result.state for result in waits} == {"PENDING"}
    assert worker.exit_code is None


# -- the maintenance mode ----------------------------------------------------------------------


def test_one_that_cannot_reach_the_store_learns_the_mode_from_others(
    stage: Stage, own_valkey: Valkey
) -> None:
    """At its start, and of each change; ``down --wait`` counts it."""
    stage.settings["graceful_lease_ttl"] = 4.0
    maintenance = Graceful(with_settings(stage)).maintenance
    stage.worker("first").wait_ready()
    maintenance.down(wait=True, timeout=30)
    apart = stage.worker("apart", settings={"graceful_store": NEVER["closed port"]}).wait_ready()
    apart.wait_log(r"The maintenance mode is known from first@localhost", 20)
    mixed = Mixed(stage)
    mixed.send(0)
    maintenance.up()
    mixed.wait_plain()
    wait_for(
        lambda: (
            {each.hostname: each.state for each in maintenance.status().workers}.get(
                "apart@localhost"
            )
            is WorkerState.CUT_OFF
        ),
        60,
        "that it consumes again",
    )
    maintenance.down(wait=True, timeout=60)
    mixed.send(0)
    entered = "this worker holds everything"
    wait_for(lambda: apart.log().count(entered) == 2, 10, "that it is held again")
