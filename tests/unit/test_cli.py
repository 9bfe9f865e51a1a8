"""``celery graceful``: what operators type, against a real store, without a worker."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from click.testing import CliRunner, Result

from celery_graceful import Graceful, IterableTask
from celery_graceful._celery import wire
from celery_graceful.cli import COMMANDS, graceful
from celery_graceful.cli.shown import HEADINGS
from celery_graceful.model import events as ev
from celery_graceful.model.cursor import Checkpoint, encode
from celery_graceful.model.record import RunKey, State
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import Runtime, forget, runtime_of

TASK, ID = "shop.import", "8f6f2c52"
RUN = RunKey(TASK, ID)

Run = Callable[..., Result]


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    app = Celery("shop", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.graceful_store = redis_url
    Graceful(app)

    @app.task(base=IterableTask, shared=False, name=TASK)
    def import_rows(path: str, *, cursor: int | None = None) -> Iterator[int]:
        yield 1

    queued(app)  # what other tests left: this broker and this backend are one for the process
    yield app
    app.AsyncResult(ID).forget()
    app.close()


@pytest.fixture
def runtime(app: Celery) -> Iterator[Runtime]:
    runtime = runtime_of(app)
    yield runtime
    runtime.store.close()


@pytest.fixture
def call(app: Celery) -> Run:
    def call(*words: str) -> Result:
        context = SimpleNamespace(app=app)
        return CliRunner().invoke(
            graceful, words, obj=context, prog_name="celery graceful", catch_exceptions=False
        )

    return call


def begin(runtime: Runtime, run: RunKey = RUN) -> None:
    """A worker takes the run up, and saves a checkpoint."""
    runtime.app.tasks[TASK].apply_async(("a.csv",), task_id=run.id)
    (message,) = queued(runtime.app)
    envelope = wire.Envelope(
        body=message.body.encode() if isinstance(message.body, str) else message.body,
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        headers=message.headers,
        properties={"correlation_id": run.id},
        exchange="",
        routing_key="celery",
        broker=runtime.broker,
    )
    admit = ev.Admit(generation=0, owner="w1/abc", envelope=wire.pack(envelope), at=1.0)
    done = transition(runtime.store, run, admit, runtime.policy)
    assert done.record is not None
    saved = encode(Checkpoint(cursor=41, carry={"rows": 42}, steps=42, total=100))
    assert runtime.store.checkpoint(run, done.record.fence, saved, 42, due_in=30).accepted


def leave(runtime: Runtime, reason: str = "shutdown") -> None:
    """The worker hands the run over; its message is lost on the way."""
    record = runtime.store.load(RUN).record
    assert record is not None
    gone = ev.HandOver(record.fence, record.checkpoint, record.steps, reason)
    transition(runtime.store, RUN, gone, runtime.policy)


def state(runtime: Runtime) -> State | None:
    record = runtime.store.load(RUN).record
    return None if record is None else record.state


def queued(app: Celery) -> list[Any]:
    """The messages in the queue, which is empty afterwards."""
    with app.connection_for_write() as connection:
        channel: Any = connection.default_channel
        return list(iter(lambda: channel.basic_get("celery", no_ack=True), None))


def result_state(app: Celery) -> str:
    """What the result backend tells those who wait for the run."""
    return app.AsyncResult(ID).state


# --- the entry point ----------------------------------------------------------------------------


def test_the_entry_point_imports_click_alone() -> None:
    code = (
        "import sys, celery_graceful.cli; "
        "print([m for m in sys.modules if m.split('.')[0] in ('celery', 'kombu', 'redis', 'rich')"
        " or m.startswith('celery_graceful.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "['celery_graceful.cli']", done.stdout + done.stderr


def test_every_command_is_there_and_has_help() -> None:
    done = CliRunner().invoke(graceful, ["--help"])
    assert done.exit_code == 0
    for name in COMMANDS:
        assert f"  {name} " in done.output
        assert CliRunner().invoke(graceful, [name, "--help"]).exit_code == 0


def test_an_unknown_command_is_a_usage_error(call: Run) -> None:
    assert call("rnus").exit_code == 2


# --- runs ---------------------------------------------------------------------------------------


def test_no_runs_say_so_and_where_they_were_looked_for(call: Run) -> None:
    done = call("runs")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "No runs (app shop, store redis://" in done.stderr


def test_a_run_is_listed(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    done = call("runs")
    assert done.exit_code == 0, done.output
    head, line = done.stdout.splitlines()
    assert tuple(head.split()) == HEADINGS
    assert line.split()[:7] == [TASK, ID, "running", "42/100", "41", "0", "0"]


def test_json_has_a_schema_and_nothing_beside_it(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    data = json.loads(call("runs", "-j").stdout)
    assert data["schema"] == 1
    (run,) = data["runs"]
    assert (run["id"], run["items"], run["total"], run["cursor"]) == (ID, 42, 100, "41")
    assert json.loads(call("runs", ID, "--json").stdout)["run"] == run


def test_one_run_is_shown_in_full(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    for name in (ID, f"{TASK}[{ID}]"):
        shown = call("runs", name).stdout
        for line in (r"carry +\{'rows': 42\}", r"carried by +w1/abc", r"lease ends +in \d+"):
            assert re.search(line, shown), shown


def test_runs_can_be_picked_by_state(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    begin(runtime, RunKey(TASK, "other"))
    call("pause", ID)
    leave(runtime)
    assert ID in call("runs", "-s", "paused").stdout
    assert "other" not in call("runs", "-s", "paused").stdout
    assert call("runs", "-s", "sleeping").exit_code == 2


def test_a_run_of_a_task_that_is_not_registered_is_found(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    del runtime.app.tasks[TASK]
    assert call("runs", ID).exit_code == 0


def test_one_id_in_two_tasks_has_to_be_told_apart(call: Run, app: Celery, runtime: Runtime) -> None:
    begin(runtime)

    @app.task(base=IterableTask, shared=False, name="shop.other")
    def other(*, cursor: int | None = None) -> Iterator[int]:
        yield 1

    admit = ev.Admit(generation=0, owner="w1/abc")
    transition(runtime.store, RunKey("shop.other", ID), admit, runtime.policy)
    done = call("pause", ID)
    assert done.exit_code == 4
    assert f"{TASK}[{ID}], shop.other[{ID}]" in done.stderr
    assert call("pause", f"{TASK}[{ID}]").exit_code == 0


def test_an_unknown_run_is_refused(call: Run) -> None:
    done = call("runs", "nobody")
    assert done.exit_code == 4
    assert "no run 'nobody' is known to the app 'shop'" in done.stderr


# --- changes ------------------------------------------------------------------------------------


def test_pausing_a_running_run_asks_its_runner(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    done = call("pause", ID)
    assert (done.exit_code, done.stdout) == (0, "")
    whom, run, *_, undo = done.stderr.splitlines()
    assert whom.startswith("App shop, broker memory://")
    assert run == f"{RUN}: running, carried by w1/abc, 42/100 items done, cursor 41"
    assert undo == f"Undo: celery graceful resume {ID}"
    leave(runtime)
    assert state(runtime) is State.PAUSED


def test_a_pause_can_be_withdrawn_before_it_is_seen(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    call("pause", ID)
    assert "pause withdrawn" in call("resume", ID).stderr
    leave(runtime)
    assert state(runtime) is State.HANDED_OVER


def test_resuming_publishes_the_next_generation(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    leave(runtime)
    call("pause", ID)
    assert call("resume", ID).exit_code == 0
    (message,) = queued(runtime.app)
    assert (message.headers["id"], message.headers[wire.GENERATION]) == (ID, 3)
    assert state(runtime) is State.HANDED_OVER


def test_a_purged_run_shows_as_orphaned_and_is_sent_again(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    leave(runtime)
    record = runtime.store.load(RUN).record
    assert record is not None
    runtime.store.swap(RUN, record.version, record, due_in=-1)
    assert "handed_over, orphaned" in call("runs").stdout
    done = call("retry", ID, "-j")
    assert done.exit_code == 0
    data = json.loads(done.stdout)
    assert (data["verb"], data["verdict"], data["undo"]) == (
        "retry",
        "publish",
        f"celery graceful pause {ID}",
    )
    assert [each.headers[wire.GENERATION] for each in queued(runtime.app)] == [2]
    assert "orphaned" not in call("runs").stdout


def test_cancelling_a_pending_run_ends_it_for_those_who_wait(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    leave(runtime)
    done = call("cancel", ID)
    assert done.exit_code == 0
    assert "But" not in done.stderr
    assert "Nothing undoes this" in done.stderr
    assert state(runtime) is State.ENDED
    assert result_state(runtime.app) == "REVOKED"


def test_cancelling_a_running_run_asks_its_runner(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    assert "Asked: it leaves at its next checkpoint." in call("cancel", ID).stderr
    assert result_state(runtime.app) == "PENDING"
    assert "already asked" in call("cancel", ID).stderr


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("retry", "A worker carries it"),
        ("resume", "the run is not paused"),
    ],
)
def test_what_does_not_fit_a_running_run_is_refused(
    call: Run, runtime: Runtime, verb: str, words: str
) -> None:
    begin(runtime)
    before = runtime.store.load(RUN).record
    done = call(verb, ID)
    assert (done.exit_code, words in done.stderr) == (4, True), done.stderr
    assert runtime.store.load(RUN).record == before


def test_an_ended_run_stays_ended(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    leave(runtime)
    call("cancel", ID)
    for verb in ("pause", "resume", "cancel", "retry"):
        done = call(verb, ID)
        assert done.exit_code == 4
        assert "An ended run stays ended" in done.stderr


def test_a_run_of_another_broker_is_not_published_here(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    leave(runtime)
    runtime.__dict__["broker"] = "amqp://elsewhere:5672/"
    done = call("retry", ID)
    assert done.exit_code == 4
    assert "this app publishes to amqp://elsewhere:5672/" in done.stderr


# --- what is wrong with the app -----------------------------------------------------------------


def test_a_wrong_setting_is_told_in_a_line(call: Run, app: Celery) -> None:
    app.conf.graceful_flush_intervall = 1
    forget(app)
    done = call("runs")
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert "did you mean graceful_flush_interval?" in done.stderr


def test_a_wrong_definition_is_told_with_its_place(call: Run, app: Celery) -> None:
    @app.task(base=IterableTask, shared=False, name="shop.faulty")
    def faulty() -> Iterator[int]:
        yield 1

    done = call("runs")
    assert done.exit_code == 2
    assert "shop.faulty" in done.stderr
    assert f"{Path(__file__).name}:" in done.stderr


def test_a_store_that_does_not_answer_is_unavailable(call: Run, app: Celery) -> None:
    app.conf.graceful_store = "redis://127.0.0.1:1/0"
    forget(app)
    done = call("runs")
    assert done.exit_code == 69
    assert "127.0.0.1:1" in done.stderr


def test_a_store_inside_the_worker_cannot_be_seen(call: Run, app: Celery) -> None:
    app.conf.graceful_store = "memory://"
    forget(app)
    done = call("runs")
    assert done.exit_code == 2
    assert "cannot be seen from here" in done.stderr


def test_without_an_app_nothing_is_guessed(call: Run, app: Celery) -> None:
    app.conf.graceful_store = None
    forget(app)
    done = call("runs")
    assert done.exit_code == 2
    assert "Which app?" in done.stderr
