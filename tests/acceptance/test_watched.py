"""Beside sentry-sdk and OpenTelemetry: an interruption is neither an error nor an abort there."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from celery_graceful.model.run.record import Outcome, RunKey
from celery_graceful.stores.url import open_store
from tests.acceptance.runs import Stage
from tests.harness import Ledger, Worker, wait_for
from tests.harness.line_files import whole_lines

pytestmark = pytest.mark.slow

APP = "tests.acceptance.apps.watched"
#: As beat's message has it, with Sentry's cron monitors.
MONITORED = {
    "sentry-monitor-slug": "walk",
    "sentry-monitor-check-in-id": "0123456789abcdef0123456789abcdef",
    "sentry-monitor-config": {"schedule": {"type": "interval", "value": 1, "unit": "day"}},
    "sentry-monitor-start-timestamp-s": "1.0",
}
TRACE = "5af7651916cd43dd8448eb211c80319c"
TRACED = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "sentry-trace": f"{TRACE}-{'b' * 16}-1"}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in whole_lines(path)]


@pytest.mark.parametrize(
    "pool", ["prefork", *(pytest.param(p, marks=pytest.mark.matrix) for p in ("threads", "solo"))]
)
def test_an_interruption_is_no_error(redis_stage: Stage, tmp_path: Path, pool: str) -> None:
    sentry, spans = tmp_path / "sentry.jsonl", tmp_path / "spans.jsonl"
    ledger = Ledger(tmp_path / "notes.jsonl")
    env: dict[str, str | None] = {
        "LEDGER": str(ledger.path),
        "SENTRY_FILE": str(sentry),
        "SPANS_FILE": str(spans),
    }
    options: dict[str, Any] = {"app": APP, "env": env, "pool": pool, "concurrency": 4}
    if pool != "prefork":  # Sentry has to come before the worker's modules
        options["kind"] = partial(Worker, cold=True)
    first = redis_stage.worker("first", **options).wait_ready()
    names = ["walk"] if pool == "solo" else ["walk", "retried", "tries"]
    headers = {**MONITORED, **TRACED}
    sent = {
        name: str(
            redis_stage.send(f"watched.{name}", name, headers={**headers, "headers": headers}).id
        )
        for name in names
    }
    least = {"walk": 3, "retried": 4, "tries": 1}
    for name in names:
        wait_for(lambda: _items(ledger, name) >= least[name], 60, lambda: first.log()[-3000:])  # noqa: B023
    first.signal()
    assert first.wait() == 0
    for name in names:
        ledger.add(f"{name} enough")
    second = redis_stage.worker("second", **options).wait_ready()
    store = open_store(redis_stage.settings["graceful_store"], "watched", timeout=30)
    for name in names:
        key = RunKey(f"watched.{name}", sent[name])
        result = redis_stage.app.AsyncResult(sent[name])
        result.get(timeout=60)
        if name != "tries":
            wait_for(lambda: _outcome(store, key) is Outcome.COMPLETED, 30, str(key))  # noqa: B023
            redis_stage.send(
                f"watched.{name}", name, task_id=key.id, headers={"graceful_generation": 1}
            )
    wait_for(
        lambda: second.log().count("dropped a") == len(names) - ("tries" in names), 30, second.log
    )
    store.close()
    second.signal()
    assert second.wait() == 0

    found = lines(sentry)
    assert [item for item in found if item["type"] == "event"] == []
    transactions = [i for i in found if i["type"] == "transaction" and i["transaction"] in APPS]
    for name in names:
        statuses = _statuses(transactions, name)
        executions = 3 if name == "retried" else 2
        assert len(statuses) == executions, "a duplicate is no transaction"
        assert statuses.count("aborted") == executions - 2, "a retry is Celery's own"
        assert {"ok", "aborted"} >= set(statuses)
        here = [i for i in transactions if i["transaction"] == f"watched.{name}"]
        assert {i["contexts"]["trace"]["trace_id"] for i in here} == {TRACE}
        if name != "retried":
            inner = [span.get("status") for i in here for span in i["spans"]]
            assert not {"internal_error", "aborted"} & set(inner)
    check_ins = [item["status"] for item in found if item["type"] == "check_in"]
    assert check_ins.count("ok") == len(names)
    assert check_ins.count("error") == ("retried" in names)

    executed = [span for span in lines(spans) if span["name"].startswith("run/")]
    for name in names:
        here = [span for span in executed if span["name"] == f"run/watched.{name}"]
        states = [span["attributes"]["celery.state"] for span in here]
        assert states[-1] == "SUCCESS"
        assert set(states[:-1]) <= {"STARTED", "RETRY"}
        assert len(states) == (3 if name == "retried" else 2)
        assert {span["status"]["status_code"] for span in here} == {"UNSET"}
        assert {span["context"]["trace_id"] for span in here} == {f"0x{TRACE}"}
    for worker in (first, second):
        assert not re.search(r"Task watched\S+ (ignored|rejected|reject requeue)", worker.log())


APPS = {f"watched.{name}" for name in ("walk", "retried", "tries")}


def _statuses(transactions: list[dict[str, Any]], name: str) -> list[str]:
    here = [item for item in transactions if item["transaction"] == f"watched.{name}"]
    return [str(item["contexts"]["trace"]["status"]) for item in here]


def _items(ledger: Ledger, tag: str) -> int:
    return sum(bool(re.fullmatch(rf"{tag} \d+", str(item))) for item in ledger.items())


def _outcome(store: Any, key: RunKey) -> Outcome | None:
    record = store.load(key).record
    return None if record is None else record.outcome
