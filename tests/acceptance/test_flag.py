"""The stop flag: seen by every process that runs tasks, and gone with its worker."""

from __future__ import annotations

import time
from pathlib import Path
from signal import SIGHUP, SIGKILL, SIGQUIT, SIGTERM

import celery
import pytest

from tests.acceptance.conftest import Figure
from tests.acceptance.runs import Stage, gone
from tests.acceptance.test_stop_triggers import ConsoleWorker
from tests.harness import Ledger, Worker, wait_for
from tests.selection import rows

APP = "tests.acceptance.apps.plain"
CELERY = tuple(int(part) for part in celery.__version__.split(".")[:2])
SPAWN = {"worker_pool_start_method": "spawn"}
#: Seconds; the figure aimed at is 0.1. Without the flag, tasks watch for three times that.
LATEST = 10.0

needs_spawn = pytest.mark.skipif(
    CELERY < (5, 7), reason="worker_pool_start_method came with Celery 5.7"
)


def ledger_of(stage: Stage) -> Ledger:
    return Ledger(stage.folder / "seen.jsonl")


def watch(stage: Stage, how_many: int = 1, task: str = "plain.watch") -> Ledger:
    """Start tasks that look at the flag, and wait until they do."""
    ledger = ledger_of(stage)
    for _ in range(how_many):
        stage.send(task, str(ledger.path), 30)
    wait_for(lambda: ledger.items().count("begin") == how_many, 30, f"{how_many} watching tasks")
    return ledger


def check_seen(ledger: Ledger, since: float, how_many: int = 1) -> float:
    """All of them saw the reason in time; returns the longest time it took."""
    wait_for(lambda: len(ledger) == 2 * how_many, 30, lambda: f"the flag: {ledger.items()}")
    seen = [entry for entry in ledger.entries() if entry.item != "begin"]
    assert {entry.item for entry in seen} == {"seen shutdown"}
    latest = max(entry.at for entry in seen) - since
    assert latest < LATEST
    return latest


def stop_and_check(worker: Worker, ledger: Ledger, how_many: int = 1) -> float:
    stopped_at = time.monotonic()
    worker.signal(SIGTERM)
    latest = check_seen(ledger, stopped_at, how_many)
    worker.wait()
    return latest


@pytest.mark.parametrize("task", ["plain.watch", "plain.nap"])
def test_a_forked_child_sees_it(redis_stage: Stage, figure: Figure, task: str) -> None:
    worker = redis_stage.worker("forked", app=APP).wait_ready()
    ledger = watch(redis_stage, 2, task)
    figure(f"flag seen: forked, {task}", stop_and_check(worker, ledger, 2))


@needs_spawn
def test_a_spawned_child_sees_it(redis_stage: Stage, figure: Figure) -> None:
    worker = redis_stage.worker("spawned", app=APP, settings=SPAWN).wait_ready()
    ledger = watch(redis_stage, 2)
    figure("flag seen: spawned", stop_and_check(worker, ledger, 2))


def test_a_respawned_child_sees_it(redis_stage: Stage, figure: Figure) -> None:
    args = ("--max-tasks-per-child", "1")
    worker = redis_stage.worker("respawned", *args, app=APP, concurrency=1).wait_ready()
    pids = {redis_stage.send("plain.quick").get(timeout=20)["pid"] for _ in range(2)}
    assert len(pids) == 2
    ledger = watch(redis_stage)
    assert ledger.entries()[0].pid not in pids
    figure("flag seen: respawned", stop_and_check(worker, ledger))


def test_a_grown_child_sees_it(redis_stage: Stage, figure: Figure) -> None:
    worker = redis_stage.worker("grown", "--autoscale", "3,1", app=APP).wait_ready()
    ledger = watch(redis_stage, 3)
    assert len({entry.pid for entry in ledger.entries()}) == 3
    figure("flag seen: grown", stop_and_check(worker, ledger, 3))


@pytest.mark.parametrize("pool", ["threads", "solo", "gevent"])
def test_other_pools_see_it(redis_stage: Stage, figure: Figure, pool: str) -> None:
    if pool == "gevent":
        pytest.importorskip("gevent")
    worker = redis_stage.worker("other", app=APP, pool=pool).wait_ready()
    ledger = watch(redis_stage)
    figure(f"flag seen: {pool}", stop_and_check(worker, ledger))


@pytest.mark.parametrize("task", ["plain.watch", "plain.nap"])
def test_a_soft_stop_raises_it_before_the_timeout(
    redis_stage: Stage, figure: Figure, task: str
) -> None:
    soft = {"worker_soft_shutdown_timeout": 2 * LATEST}
    worker = redis_stage.worker("soft", app=APP, settings=soft).wait_ready()
    ledger = watch(redis_stage, 1, task)
    stopped_at = time.monotonic()
    worker.signal(SIGQUIT)
    figure("flag seen: soft stop", check_seen(ledger, stopped_at))
    worker.wait()


# -- nothing is left -------------------------------------------------------------------------


@pytest.mark.parametrize("number", [SIGTERM, SIGKILL], ids=["SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=needs_spawn)])
def test_no_file_is_left(redis_stage: Stage, tmp_path: Path, number: int, start: str) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()

    def files() -> set[str]:
        found = [*Path("/dev/shm").glob("celery-graceful*"), *folder.rglob("celery-graceful*")]
        return {str(path) for path in found}

    before = files()
    settings = SPAWN if start == "spawn" else {}
    env: dict[str, str | None] = {"TMPDIR": str(folder)}
    worker = redis_stage.worker("leaving", app=APP, env=env, settings=settings).wait_ready()
    assert redis_stage.send("plain.quick").get(timeout=20)["stopping"] is None
    worker.signal(number)
    worker.wait()
    gone(files, before)


def test_a_worker_that_re_executes_itself_starts_clean(redis_stage: Stage) -> None:
    worker = redis_stage.worker("again", app=APP, kind=ConsoleWorker).wait_ready()
    for times in (2, 3):
        pid = redis_stage.send("plain.quick").get(timeout=20)["pid"]
        worker.signal(SIGHUP)
        worker.wait_ready(times=times)
        answer = redis_stage.send("plain.quick").get(timeout=20)
        assert answer["pid"] != pid
        assert answer["stopping"] is None
    ledger = watch(redis_stage)
    stop_and_check(worker, ledger)


# -- what it is for --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broker_url", "style"),
    rows(
        [("redis", "items.generator"), ("rabbitmq", "items.class")],
        [("redis", "items.class"), ("rabbitmq", "items.generator")],
    ),
    indirect=["broker_url"],
)
def test_a_group_sigterm_lets_the_item_end(stage: Stage, style: str) -> None:
    worker, waiting = stage.worker("stopped"), stage.waiting()
    worker.wait_ready(), waiting.wait_ready()
    run = stage.start(style, 8, 1.5)
    begun = Path(f"{run.ledger.path}.begun")
    before = wait_for(lambda: begun.exists() and begun.read_text(), 30, "the first item")
    stage.let_in(waiting)
    # One that has just begun will not have ended when the signal comes.
    under_way = wait_for(
        lambda: (item := begun.read_text()) not in ("", before) and item, 30, "the next item"
    )
    stopped_at = time.monotonic()
    worker.signal_group(SIGTERM)
    run.wait_resumed(stopped_at)
    run.hurry()
    run.check_result()
    run.check_exact()
    first = run.ledger.entries()[0].pid
    after = [e.item for e in run.ledger.entries() if e.at > stopped_at and e.pid == first]
    assert after == [int(under_way or 0)]
    worker.wait()


@pytest.mark.brokers("rabbitmq")
def test_continue_as_keeps_id_callbacks_and_result(stage: Stage) -> None:
    top, told = 4000, stage.folder / "told.jsonl"
    worker, waiting = stage.worker("stopped", app=APP), stage.waiting(app=APP)
    worker.wait_ready(), waiting.wait_ready()
    steps = Ledger(stage.folder / "steps.jsonl")
    result = stage.send(
        "plain.climb", str(steps.path), 0, top, 50, link=stage.callback("plain.tell", told)
    )
    wait_for(lambda: len(steps) > 100, 20, "the first continuation")
    stage.let_in(waiting)
    worker.signal(SIGTERM)
    worker.wait()
    steps.path.with_name("steps.jsonl.hurry").touch()
    assert result.get(timeout=60) == {"id": result.id, "top": top}
    assert steps.items() == list(range(top))
    assert len({entry.pid for entry in steps.entries()} & set(waiting.children())) >= 1
    wait_for(lambda: len(Ledger(told)) > 0, 30, "the callback")
    assert Ledger(told).items() == [f"told {top}"]


def test_it_tells_how_long_the_worker_has_left(redis_stage: Stage) -> None:
    redis_stage.settings["graceful_grace_period"] = "30s"
    worker = redis_stage.worker("other", app=APP).wait_ready()
    ledger = ledger_of(redis_stage)
    result = redis_stage.send("plain.left", str(ledger.path))
    wait_for(lambda: len(ledger) == 1, 20, worker.log)
    worker.signal(SIGTERM)
    before, left = result.get(timeout=20)
    assert before is None
    assert 10 < left <= 24, "until the task is cut off: a fifth less than the grace period"
    worker.wait_log(r"Stopping \(SIGTERM\): .*; killed in (2\d|30) s")
    worker.wait()
