"""Runs whose code raises what is no ``Exception``, or returns what cannot be stored."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest
import redis
from celery.result import AsyncResult

from celery_graceful.errors import BaseExceptionRaised
from celery_graceful.model.run.record import Outcome, Record, RunKey
from celery_graceful.stores.url import open_store
from tests.acceptance.brokers import held_by_redis
from tests.acceptance.runs import Stage
from tests.harness import Ledger, Worker, wait_for

pytestmark = pytest.mark.slow

APP = "tests.acceptance.apps.outcomes"
#: On other Celery releases as well, where what runs in the main process differs.
CORE = [pytest.param(pool, marks=pytest.mark.core) for pool in ("prefork", "threads")]
KINDS = ("SystemExit", "KeyboardInterrupt", "CancelledError", "GeneratorExit", "Own")
#: Methods of an iterable task that are called within the run.
PLACES = ("enumerator", "item", "count", "result", "on_start", "on_complete")
#: What Celery calls around it.
AROUND = ("before_start", "on_success", "after_return", "task_postrun")
LEASE = 3.0
#: Seconds for each of four items: the run is over before its first checkpoint, or long after.
PAUSES = (0.0, 0.2)


class Outcomes:
    """A worker of the application, and what its tasks have noted."""

    def __init__(self, stage: Stage, folder: Path, pool: str) -> None:
        self.stage = stage
        self.ledger = Ledger(folder / "outcomes.jsonl")
        stage.settings.update(graceful_lease_ttl=LEASE, graceful_rescue_interval=0.3)
        env: dict[str, str | None] = {"LEDGER": str(self.ledger.path)}
        # On gevent a worker without a free slot looks for messages every two seconds.
        slots = 30 if pool == "gevent" else 2
        self.worker: Worker = stage.worker(
            "outcomes", app=APP, env=env, pool=pool, concurrency=slots
        )
        self.worker.wait_ready()
        self.sent: dict[str, AsyncResult[Any]] = {}
        self._names: dict[str, str] = {}

    def send(self, tag: str, name: str, *args: Any, **options: Any) -> AsyncResult[Any]:
        """Send a task that is to fail once."""
        failed = self.stage.app.signature("outcomes.note_failure", kwargs={"tag": tag})
        self._names[tag] = f"outcomes.{name}"
        result = self.stage.send(self._names[tag], *args, link_error=failed, **options)
        self.sent[tag] = result
        return result

    def record(self, tag: str) -> Record | None:
        """The run's record."""
        store = open_store(self.stage.backend, "outcomes", timeout=30)
        try:
            return store.load(RunKey(self._names[tag], self.sent[tag].id)).record
        finally:
            store.close()

    def wait_over(self) -> None:
        """Wait until the broker has no message of a task, on its way or in its queue."""

        def left() -> int:
            with redis.Redis.from_url(self.stage.broker) as client:
                return held_by_redis(self.stage.broker) + int(client.llen("celery"))

        wait_for(lambda: not left(), 30, lambda: f"{left()} messages")

    def wait_outcome(self, tag: str) -> str:
        """How the run ended, once it has."""

        def ended() -> Record | None:
            found = self.record(tag)
            return None if found is None or found.live else found

        record = wait_for(ended, 30, lambda: str(self.record(tag)))
        return str(record.outcome) if record is not None else ""


@pytest.mark.parametrize("pool", [*CORE, "gevent", "solo"])
def test_a_base_exception_fails_the_run_once(redis_stage: Stage, tmp_path: Path, pool: str) -> None:
    if pool == "gevent":
        pytest.importorskip("gevent")
    on = Outcomes(redis_stage, tmp_path, pool)
    for kind in KINDS:
        on.send(f"brief {kind}", "generator", f"brief {kind}", kind)
    on.send("long", "generator", "long", "SystemExit", 0.4)
    for place in PLACES:
        on.send(place, "raising", place, place, "SystemExit")
    fail = list(on.sent)
    succeed = ("on_success", "after_return", "task_postrun")
    for place in AROUND:
        on.send(place, "raising", place, place, "SystemExit")
    on.send("on_failure", "failing", "on_failure", "on_failure", "SystemExit")
    for tag in fail:
        with pytest.raises(BaseExceptionRaised, match="no Exception"):
            on.sent[tag].get(timeout=60)
    with pytest.raises(BaseExceptionRaised):
        on.sent["before_start"].get(timeout=30)
    with pytest.raises(ValueError, match="ordinary"):
        on.sent["on_failure"].get(timeout=30)
    for tag in succeed:
        assert on.sent[tag].get(timeout=30) == "done"
    on.wait_over()
    once = Counter([*on.sent, *(f"{tag} failed" for tag in on.sent if tag not in succeed)])
    assert Counter(on.ledger.items()) == once
    for tag in on.sent:
        record = on.record(tag)
        assert record is not None
        expected = Outcome.COMPLETED if tag in succeed else Outcome.FAILED
        # With an outcome, no worker runs it again after a lease.
        assert (record.outcome, record.crashes) == (expected, 0), tag
    ends_at_a_stop(on, pool)


def ends_at_a_stop(on: Outcomes, pool: str) -> None:
    """The worker stops, though tasks have raised, and one raises while it stops."""
    if pool == "threads":
        on.stage.send("outcomes.plain_exit", "plain")
        wait_for(lambda: "plain" in on.ledger.items(), 20, "the plain task")
    on.send("at a stop", "at_a_stop", "at a stop", "SystemExit")
    wait_for(lambda: "at a stop begins" in on.ledger.items(), 20, "the item at the stop")
    on.worker.signal(SIGTERM)
    assert on.worker.wait(20) == 0
    with pytest.raises(BaseExceptionRaised):
        on.sent["at a stop"].get(timeout=20)
    assert on.ledger.items().count("at a stop") == 1


@pytest.mark.parametrize(
    "pool",
    [
        *CORE,
        *(pytest.param(pool, marks=pytest.mark.matrix) for pool in ("gevent", "solo")),
    ],
)
def test_what_cannot_be_stored_ends_as_in_celery(
    redis_stage: Stage, tmp_path: Path, pool: str
) -> None:
    on = Outcomes(redis_stage, tmp_path, pool)
    chained = on.stage.app.signature("outcomes.note_value", kwargs={"tag": "chained"})
    sent: dict[tuple[str, bool, float], AsyncResult[Any]] = {}
    for pause in PAUSES:
        for what in ("object", "number"):
            for ignored in (True, False):
                result = on.send(
                    f"{what} {ignored} {pause}", "returning", what, pause, ignore_result=ignored
                )
                sent[what, ignored, pause] = result
        sent["chain", True, pause] = (
            on.stage.app.signature(
                "outcomes.returning", args=("number", pause), options={"ignore_result": True}
            )
            | chained
        ).apply_async()
        sent["error", False, pause] = on.send(f"error {pause}", "unshowable", pause)
    outcomes: dict[tuple[str, bool, float], Any] = {}
    for key, result in sent.items():
        if key[:2] in {("object", True), ("number", True)}:
            outcomes[key] = on.wait_outcome(f"{key[0]} {key[1]} {key[2]}")
            continue
        try:
            outcomes[key] = result.get(timeout=60)
        except Exception as exc:
            outcomes[key] = type(exc).__name__
    for pause in PAUSES:
        found = {key[:2]: outcome for key, outcome in outcomes.items() if key[2] == pause}
        assert found == {
            ("object", True): "completed",
            ("number", True): "completed",
            ("object", False): "EncodeError",
            ("number", False): 7,
            ("chain", True): "got 7",
            ("error", False): "UnpickleableExceptionWrapper",
        }, pause
    expected = Counter(
        f"{what} {pause} failed" for what in ("object False", "error") for pause in PAUSES
    )

    def failed() -> Counter[str]:
        return Counter(item for item in on.ledger.items() if item.endswith("failed"))

    wait_for(lambda: failed() == expected, 20, lambda: str(failed()))
