"""Outcomes stand against packages that store the state of an execution that is not the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import Outcome, RunKey, State
from celery_graceful.model.run.verdict import Policy
from celery_graceful.runs.transition import transition
from celery_graceful.stores.url import open_store
from tests.acceptance.runs import Stage
from tests.harness import Ledger, Worker, wait_for

pytestmark = pytest.mark.slow

APP = "tests.acceptance.apps.receivers"
ENDS = {"SUCCESS", "FAILURE", "REVOKED", "IGNORED", "REJECTED"}

POOLS_AND_BACKENDS = [
    ("prefork", "django-db"),
    pytest.param("threads", "db", marks=pytest.mark.matrix),
    pytest.param("solo", "redis", marks=pytest.mark.matrix),
    pytest.param("gevent", "rpc", marks=pytest.mark.matrix),
]


class Project:
    """Workers of the application, and what reached its result backend."""

    def __init__(self, stage: Stage, folder: Path, pool: str, backend: str, receivers: str) -> None:
        self.stage, self.pool = stage, pool
        self.websockets = receivers == "celery-progress"
        self.ledger = Ledger(folder / "notes.jsonl")
        self._store = stage.settings["graceful_store"]
        database = folder / "results.db"
        url = {"db": f"db+sqlite:///{database}", "redis": stage.backend, "rpc": "rpc://"}
        self.env: dict[str, str | None] = {
            "LEDGER": str(self.ledger.path),
            "RESULT_URL": url.get(backend, backend),
            "DATABASE": str(database),
            "RECEIVERS": receivers,
        }
        self.settings = {"graceful_progress": True}

    def worker(self, name: str) -> Worker:
        worker = self.stage.worker(
            name, app=APP, env=self.env, settings=self.settings, pool=self.pool, concurrency=6
        )
        return worker.wait_ready()

    def send(self, name: str, tag: str, **options: Any) -> str:
        return str(self.stage.send(f"receivers.{name}", tag, **options).id)

    def wait_item(self, tag: str, least: int = 1) -> None:
        self.wait(lambda: len(self.items(tag)) >= least, f"{least} items of {tag}")

    def wait(self, condition: Callable[[], object], what: str) -> None:
        wait_for(condition, 60, lambda: f"{what}: {self.ledger.items()[-30:]}")

    def items(self, tag: str) -> list[int]:
        words = [str(item).split(" ") for item in self.ledger.items()]
        return [int(w[1]) for w in words if w[0] == tag and w[1].isdigit()]

    def states(self, task_id: str) -> list[str]:
        """All that reached the result backend."""
        return self._noted("stored", task_id)

    def pushed(self, task_id: str) -> list[str]:
        """What the websockets of celery-progress were sent: "complete success"."""
        return self._noted("pushed", task_id)

    def told(self, task_id: str) -> list[str]:
        """The states that ``task_postrun`` told of."""
        return self._noted("told", task_id)

    def ended(self, task_id: str) -> list[str]:
        """What was said of the ends of executions."""
        return self.pushed(task_id) if self.websockets else self.told(task_id)

    def _noted(self, word: str, task_id: str) -> list[str]:
        start = f"{word} {task_id} "
        notes = [str(item) for item in self.ledger.items()]
        return [item[len(start) :] for item in notes if item.startswith(start)]

    def happen(self, name: str, task_id: str, event: ev.Event) -> None:
        store = open_store(self._store, "receivers", timeout=30)
        try:
            transition(store, RunKey(f"receivers.{name}", task_id), event, Policy())
        finally:
            store.close()

    def wait_run(self, name: str, task_id: str, end: State | Outcome) -> None:
        store = open_store(self._store, "receivers", timeout=30)

        def there() -> bool:
            record = store.load(RunKey(f"receivers.{name}", task_id)).record
            return record is not None and end in (record.state, record.outcome)

        try:
            self.wait(there, f"{task_id} to be {end}")
        finally:
            store.close()

    def check_result(self, task_id: str) -> None:
        """It has ended with success, once, and nothing was stored afterwards."""
        states = self.states(task_id)
        first = states.index("SUCCESS")
        assert not ENDS & set(states[:first]), states
        assert set(states[first:]) == {"SUCCESS"}, states
        if self.websockets:
            pushed = self.pushed(task_id)
            assert set(pushed[:-1]) <= {"False None"}, pushed
            assert pushed[-1] == "True True"
        else:
            told = self.told(task_id)
            assert not ENDS & set(told[:-1]), told
            assert told[-1] == "SUCCESS"


@pytest.fixture(params=["celery-progress", "all"])
def receivers(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def project(redis_stage: Stage, tmp_path: Path, pool: str, backend: str, receivers: str) -> Project:
    if backend == "django-db":
        pytest.importorskip("django_celery_results")
    return Project(redis_stage, tmp_path, pool, backend, receivers)


@pytest.mark.parametrize(("pool", "backend"), POOLS_AND_BACKENDS)
def test_an_outcome_stands(project: Project) -> None:
    first = project.worker("first")
    names = ["walk", "counted", "own", "tries"]
    if not project.websockets:  # its receiver cannot read a RETRY, and is called again for ever
        names.append("retried")
    sent = {name: project.send(name, name) for name in names}
    kinds = list(sent) if project.pool != "solo" else ["walk"]
    if project.pool == "solo":
        project.ledger.add("tries enough")
    for name in kinds:
        project.wait_item(name, 3)
    second = project.worker("second")
    first.signal()
    if project.pool == "solo":
        first.wait()
        for name in sent:
            project.ledger.add(f"{name} enough")
    for name in sent:
        project.ledger.add(f"{name} enough")
    for name, task_id in sent.items():
        project.wait(lambda: "SUCCESS" in project.states(task_id), f"the end of {name}")  # noqa: B023
        if name != "tries":
            project.wait_run(name, task_id, Outcome.COMPLETED)
    # The messages of runs that have ended come once more.
    runs = [name for name in sent if name != "tries"]
    for name in runs:
        project.send(name, name, task_id=sent[name], headers={"graceful_generation": 1})
    project.wait(lambda: second.log().count("dropped a") >= len(runs), "drops")
    second.signal()
    assert second.wait() == first.wait() == 0
    for task_id in sent.values():
        project.check_result(task_id)


@pytest.mark.parametrize(("pool", "backend"), POOLS_AND_BACKENDS)
def test_a_pause_is_no_end_and_a_cancelled_run_is_revoked(project: Project) -> None:
    worker = project.worker("only")
    for name in ("counted", "own"):
        paused = project.send(name, f"p-{name}")
        project.wait_item(f"p-{name}", 3)
        project.happen(name, paused, ev.Pause())
        project.wait_run(name, paused, State.PAUSED)
        cancelled = project.send(name, f"c-{name}")
        project.wait_item(f"c-{name}", 3)
        project.happen(name, cancelled, ev.Cancel())
        project.wait_run(name, cancelled, Outcome.CANCELLED)
        for task_id in (paused, cancelled):
            project.wait(lambda: project.ended(task_id), "the end of the execution")  # noqa: B023
        assert not ENDS & set(project.states(paused)), project.states(paused)
        assert project.ended(paused)[-1] not in {"True True", "True False", *ENDS}
        states = project.states(cancelled)
        assert set(states[states.index("REVOKED") :]) == {"REVOKED"}, states
        assert not ENDS & set(states[: states.index("REVOKED")])
        assert project.ended(cancelled)[-1] in ("True False", "REVOKED")
    worker.signal()
    assert worker.wait() == 0
