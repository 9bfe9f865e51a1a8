"""Runs whose code raises what is no ``Exception``, or returns what cannot be stored."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest
from celery.result import AsyncResult

from celery_graceful.errors import BaseExceptionRaised
from celery_graceful.model.record import Outcome, Record, RunKey
from celery_graceful.stores.url import open_store
from tests.acceptance.runs import Stage
from tests.harness import Ledger, Worker, wait_for

pytestmark = pytest.mark.slow

APP = "tests.acceptance.apps.outcomes"
POOLS = ("prefork", "threads", "gevent", "solo")
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
        self.worker: Worker = stage.worker("outcomes", app=APP, env=env, pool=pool)
        self.worker.wait_ready()
        self.sent: dict[str, AsyncResult[Any]] = {}

    def send(self, tag: str, name: str, *args: Any, **options: Any) -> AsyncResult[Any]:
        """Send a task that is to fail once."""
        failed = self.stage.app.signature("outcomes.note_failure", args=(tag,))
        result = self.stage.send(f"outcomes.{name}", *args, link_error=failed, **options)
        self.sent[tag] = result
        return result

    def record(self, name: str, tag: str) -> Record | None:
        """The run's record."""
        store = open_store(self.stage.backend, "outcomes", timeout=30)
        try:
            return store.load(RunKey(f"outcomes.{name}", self.sent[tag].id)).record
        finally:
            store.close()

    def wait_outcome(self, name: str, tag: str) -> str:
        """How the run ended, once it has."""

        def ended() -> Record | None:
            found = self.record(name, tag)
            return None if found is None or found.live else found

        record = wait_for(ended, 30, lambda: str(self.record(name, tag)))
        return str(record.outcome) if record is not None else ""


@pytest.mark.parametrize("pool", POOLS)
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
    # Nothing of it comes again, neither at once nor after a lease.
    time.sleep(LEASE + 1.5)
    once = Counter([*on.sent, *(f"{tag} failed" for tag in on.sent if tag not in succeed)])
    assert Counter(on.ledger.items()) == once
    for tag in fail:
        record = on.record("generator" if "brief" in tag or tag == "long" else "raising", tag)
        assert record is not None
        assert (record.outcome, record.crashes) == (Outcome.FAILED, 0), tag
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


@pytest.mark.parametrize("pool", ["prefork", "threads"])
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
            name = f"{key[0]} {key[1]} {key[2]}"
            outcomes[key] = on.wait_outcome("returning", name)
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
