"""``graceful.runs.start``: what it checks, what it sends, and keys that start one run."""

# mypy: allow-untyped-decorators
from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from celery import Celery
from kombu.exceptions import OperationalError

from celery_graceful import Graceful, IterableTask, errors, sources
from celery_graceful._celery.message.headers import STARTED_WITH
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.model.run.record import Outcome, Record, RunKey, State
from celery_graceful.model.run_options import RunOptions, read_options
from celery_graceful.runs.api import Runs
from celery_graceful.runs.oneoff import start as starting
from celery_graceful.runs.oneoff.once import Claim, read_claim, write_claim
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import Runtime, runtime_of
from celery_graceful.stores.codec import extra_of
from tests.harness.delivered import InProcess

KEY = "backfill-2026-11"


class Items(IterableTask):
    """Notes what it was called with."""

    name = "shop.items"

    def build_enumerator(self, many: int, *, cursor: Any) -> Any:
        self.seen.append(("cursor", cursor))
        return sources.sequence(range(many), cursor=cursor)

    def each_iteration(self, number: int, many: int, *, dry_run: bool = False) -> None:
        self.seen.append((number, dry_run))

    def on_start(self, many: int) -> None:
        self.seen.append(("start", self.progress.resumptions))

    def on_complete(self, many: int, *, dry_run: bool = False) -> None:
        self.seen.append(("complete", dry_run))

    seen: list[Any] = []  # noqa: RUF012 - of the class, as Celery has one task


@pytest.fixture
def app() -> Iterator[Celery]:
    app = Celery("shop", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.update(
        graceful_store="memory://",
        graceful_namespace=uuid.uuid4().hex,
        graceful_lease_ttl=1,
        task_default_queue=uuid.uuid4().hex,
        task_routes={"shop.routed": {"queue": f"routed-{uuid.uuid4().hex}"}},
    )
    Items.seen.clear()
    app.register_task(Items())

    @app.task(base=IterableTask, name="shop.generator", shared=False)
    def generator(many: int, *, dry_run: bool = False, cursor: int | None = None) -> Iterator[int]:
        for number in range(0 if cursor is None else cursor + 1, many):
            Items.seen.append((number, dry_run))
            yield number

    @app.task(base=IterableTask, name="shop.routed", shared=False)
    def routed(*, cursor: int | None = None) -> Iterator[int]:
        yield 1

    @app.task(name="shop.mail", shared=False)
    def mail() -> None:
        pass

    yield app
    app.close()


@pytest.fixture
def runs(app: Celery) -> Runs:
    return Graceful(app).runs


@pytest.fixture
def runtime(app: Celery, runs: Runs) -> Runtime:
    return runtime_of(app)


@pytest.fixture
def worker(app: Celery) -> InProcess:
    return InProcess(app)


def deliver(app: Celery, worker: InProcess) -> int:
    return worker.deliver_all(app.conf.task_default_queue)


def change(runtime: Runtime, run: RunKey, event: ev.Event) -> Record:
    done = transition(runtime.store, run, event, runtime.policy)
    assert done.record is not None
    return done.record


def test_a_run_is_known_at_once_and_has_a_result(
    app: Celery, runs: Runs, worker: InProcess
) -> None:
    run = runs.start("shop.items", [3], who="deploy")
    assert (run.state, run.steps) == ("queued", 0)
    assert runs.list(state="queued").items[0].id == run.id
    assert deliver(app, worker) == 1
    ended = runs.wait(run.id, timeout=5)
    assert (ended.state, ended.steps, ended.resumptions) == ("completed", 3, 0)
    assert ended.started_at is not None
    assert app.AsyncResult(run.id).state == "SUCCESS"
    assert Items.seen == [
        ("start", 0),
        ("cursor", None),
        *((n, False) for n in range(3)),
        ("complete", False),
    ]


@pytest.mark.parametrize("cursor", [4, "four", [1, "b"], (1, 2), Decimal("1.5"), {"a": None}])
def test_it_begins_behind_a_cursor(
    app: Celery, runs: Runs, worker: InProcess, cursor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Items, "build_enumerator", lambda self, many, *, cursor: iter(()))
    monkeypatch.setattr(
        Items, "on_start", lambda self, many: self.seen.append(self.progress.cursor)
    )
    runs.start("shop.items", [7], cursor=cursor)
    deliver(app, worker)
    assert Items.seen[0] == cursor
    assert type(Items.seen[0]) is type(cursor)


def test_messages_go_where_the_task_is_routed_to(app: Celery, runs: Runs) -> None:
    assert str(runs.start("shop.routed").queue).startswith("routed-")
    assert runs.start("shop.routed", queue="other").queue == "other"


@pytest.mark.parametrize("task", ["shop.items", "shop.generator"])
def test_a_dry_run_is_one_in_every_execution(
    app: Celery, runs: Runs, worker: InProcess, task: str
) -> None:
    run = runs.start(task, [4], dry_run=True, pause_after=2)
    assert run.dry_run
    deliver(app, worker)
    paused = runs.wait(run.id, timeout=5)
    assert (paused.state, paused.steps, paused.pause_after) == ("paused", 2, 2)
    assert paused.seconds is not None
    assert paused.rate is None or paused.rate > 0
    runs.resume(run.id)
    deliver(app, worker)
    ended = runs.wait(run.id, timeout=5)
    assert (ended.state, ended.dry_run) == ("completed", True)
    items = [seen for seen in Items.seen if isinstance(seen[0], int)]
    assert items == [(n, True) for n in range(4)]
    if task == "shop.items":
        assert Items.seen[-1] == ("complete", True)


# -- what is refused --------------------------------------------------------------------------

REFUSED: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("shop.item", {}, errors.UnknownTask, "Did you mean 'shop.items'?"),
    ("x", {}, errors.UnknownTask, "Its iterable tasks: shop.generator, shop.items"),
    ("shop.mail", {}, errors.StartRefused, "celery -A PROJECT call shop.mail"),
    ("shop.routed", {"dry_run": True}, errors.StartRefused, "dry_run=False"),
    ("shop.routed", {"args": [1, 2]}, errors.StartRefused, "0 positional arguments but 2"),
    ("shop.items", {"args": [object()]}, errors.StartRefused, "cannot take these arguments"),
    ("shop.items", {"args": "12"}, ValueError, "write a list"),
    ("shop.generator", {"kwargs": {"dry_run": False}, "dry_run": True}, ValueError, "twice"),
    ("shop.items", {"kwargs": {"cursor": 1}}, ValueError, "argument of its own"),
    ("shop.items", {"limit": 0}, ValueError, "limit: 0 is not a number of items"),
    ("shop.items", {"pause_after": True}, ValueError, "pause_after: True"),
    ("shop.items", {"pause_after": 5, "limit": 5}, ValueError, "not less than limit"),
    ("shop.items", {"cursor": object()}, errors.CursorError, "cursor"),
    ("shop.items", {"cursor": "x" * 9000}, errors.CursorError, "at most 8192"),
    *[
        ("shop.items", {"once": key}, ValueError, "cannot be a key")
        for key in ("", "a b", "-a", "é", "k" * 101, "a\n")
    ],
]


@pytest.mark.parametrize(("task", "given", "error", "text"), REFUSED)
def test_nothing_is_sent_for_what_is_wrong(
    app: Celery,
    runs: Runs,
    worker: InProcess,
    task: str,
    given: dict[str, Any],
    error: type[Exception],
    text: str,
) -> None:
    with pytest.raises(error, match=text.replace("(", r"\(")):
        runs.start(task, **given)
    assert deliver(app, worker) == 0
    assert runs.list().items == ()


# -- once -------------------------------------------------------------------------------------


def test_a_key_starts_one_run(app: Celery, runs: Runs, worker: InProcess) -> None:
    first = runs.start("shop.items", [2], once=KEY)
    assert first.once == KEY
    joined = runs.start("shop.items", [2], once=KEY)
    assert (joined.id, joined.state) == (first.id, "queued")
    assert deliver(app, worker) == 1
    again = runs.start("shop.items", [2], once=KEY)
    assert (again.id, again.state) == (first.id, "completed")
    assert deliver(app, worker) == 0
    assert runs.get(KEY).id == first.id
    with pytest.raises(errors.StartRefused, match="Take another key"):
        runs.start("shop.generator", [2], once=KEY)


@pytest.mark.parametrize("once", [None, KEY])
def test_an_id_starts_one_run_however_it_ends(
    app: Celery, runs: Runs, worker: InProcess, once: str | None
) -> None:
    """As a form that is sent twice."""
    first = runs.start_or_join("shop.items", [2], once=once, id="form-1")
    again = runs.start_or_join("shop.items", [2], once=once, id="form-1")
    assert [(str(each.how), each.run.id) for each in (first, again)] == [
        ("started", "form-1"),
        ("joined", "form-1"),
    ]
    runs.cancel("form-1")
    deliver(app, worker)
    late = runs.start_or_join("shop.items", [2], once=once, id="form-1")
    assert (str(late.how), late.run.state) == ("joined", "cancelled")
    wrong: Any
    for wrong in ("", "x" * 201, "a\nb", 5):
        with pytest.raises(ValueError, match="id: "):
            runs.start("shop.items", [2], id=wrong)


def test_other_arguments_under_a_key_are_told(runtime: Runtime, runs: Runs) -> None:
    runs.start("shop.items", [2], once=KEY)
    assert "other arguments" in started(runtime, [3]).note
    assert started(runtime, [2]).note == ""


def started(runtime: Runtime, args: Any) -> starting.Started:
    return Runs(lambda: runtime.app).start_or_join("shop.items", args, once=KEY)


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.CANCELLED])
def test_after_a_failure_it_starts_anew(runtime: Runtime, runs: Runs, outcome: Outcome) -> None:
    first = started(runtime, [2]).run
    change(runtime, RunKey(first.task, first.id), ev.Kill(outcome, "test"))
    second = started(runtime, [2])
    assert second.how is starting.How.STARTED
    assert second.run.id != first.id
    assert str(outcome) in second.note
    assert runs.get(KEY).id == second.run.id


def test_a_completed_key_is_known_for_longer_than_its_run(
    app: Celery, runs: Runs, runtime: Runtime, worker: InProcess
) -> None:
    run = runs.start("shop.items", [2], once=KEY)
    deliver(app, worker)
    forget(runtime, RunKey(run.task, run.id))
    again = started(runtime, [2])
    assert (again.how, again.run.id) == (starting.How.COMPLETED, run.id)
    assert (again.run.state, again.run.steps) == ("completed", 2)
    assert runs.wait(KEY, timeout=1).state == "completed"
    assert deliver(app, worker) == 0


def test_a_failed_key_is_forgotten_with_its_run(
    app: Celery, runs: Runs, runtime: Runtime, worker: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any, number: int, many: int) -> None:
        raise ValueError(number)

    with monkeypatch.context() as patch:
        patch.setattr(Items, "each_iteration", fail)
        run = runs.start("shop.items", [2], once=KEY)
        deliver(app, worker)
    assert runs.get(KEY).state == "failed"
    forget(runtime, RunKey(run.task, run.id))
    assert started(runtime, [2]).how is starting.How.STARTED


def forget(runtime: Runtime, run: RunKey) -> None:
    record = runtime.store.load(run).record
    assert record is not None
    assert not record.live
    assert runtime.store.swap(run, record.version, record, keep=-1.0).done
    assert runtime.store.load(run).record is None


def test_who_died_after_the_claim_does_not_block_the_key(
    app: Celery, runs: Runs, runtime: Runtime, worker: InProcess
) -> None:
    assert write_claim(runtime.store, KEY, Claim(RunKey("shop.items", "claimed"), "x"))
    with pytest.raises(errors.UnknownRun):
        runs.get(KEY)
    run = runs.start("shop.items", [2], once=KEY)
    assert run.id == "claimed"
    assert deliver(app, worker) == 1
    assert runs.get(KEY).state == "completed"


def test_a_message_that_was_never_sent_is_sent(
    app: Celery, runs: Runs, runtime: Runtime, worker: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: Any, **options: Any) -> None:
        raise OperationalError("away")

    with monkeypatch.context() as patch:
        patch.setattr("kombu.Producer.publish", away)
        with pytest.raises(errors.NotSent, match="A worker sends it again"):
            runs.start("shop.items", [2], once=KEY)
    assert deliver(app, worker) == 0
    assert runs.start("shop.items", [2], once=KEY).state == "queued"
    claim = read_claim(runtime.store, KEY)
    assert claim is not None
    make_overdue(runtime, claim.run)
    run = runs.start("shop.items", [2], once=KEY)
    assert run.id == claim.run.id
    assert deliver(app, worker) == 1
    assert runs.get(KEY).state == "completed"


def make_overdue(runtime: Runtime, run: RunKey) -> None:
    record = runtime.store.load(run).record
    assert record is not None
    assert record.state is State.INTERRUPTED
    assert runtime.store.swap(run, record.version, record, due_in=-1.0).done


def test_a_duplicate_of_its_message_starts_nothing(
    app: Celery, runs: Runs, runtime: Runtime, worker: InProcess
) -> None:
    run = runs.start("shop.items", [2], once=KEY)
    with app.connection_for_write() as connection:
        bound = app.amqp.queues[app.conf.task_default_queue](connection.default_channel)
        message = bound.get(no_ack=True)
        assert message is not None
        body, properties = message.body, dict(message.properties)
        for _ in range(2):
            app.amqp.Producer(connection).publish(
                body,
                routing_key=bound.name,
                exchange="",
                content_type=message.content_type,
                content_encoding=message.content_encoding,
                headers=message.headers,
                correlation_id=properties.get("correlation_id"),
            )
    assert deliver(app, worker) == 2
    assert [seen for seen in Items.seen if isinstance(seen[0], int)] == [(0, False), (1, False)]
    assert runs.get(run.id).state == "completed"


def test_a_key_stays_when_its_task_is_renamed(
    app: Celery, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = runs.start("shop.items", [2], once=KEY)
    monkeypatch.setattr(app.tasks["shop.generator"], "former_names", ["shop.items"])
    assert runs.start("shop.generator", [2], once=KEY).id == first.id


# -- the text that travels --------------------------------------------------------------------


def test_options_come_back() -> None:
    for options in (
        RunOptions(),
        RunOptions(KEY, 60.0, 1, 2, True, encode(Checkpoint(('"' * 2000, "\\" * 500))), "me@host"),
    ):
        assert read_options(options.text()) == options


@pytest.mark.parametrize(
    "text",
    ["[]", "{", '{"limit":"5"}', '{"limit":-1}', '{"dry_run":1}', '{"once":5}', "x" * 70_000],
)
def test_what_is_no_options_is_ignored(
    app: Celery, worker: InProcess, runs: Runs, text: str
) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_options(text)
    sent = app.tasks["shop.items"].apply_async((2,), headers={STARTED_WITH: text})
    deliver(app, worker)
    assert sent.get(timeout=5, disable_sync_subtasks=False) is None
    assert runs.get(sent.id).steps == 2


def test_a_task_that_is_sent_plainly_carries_nothing_of_this(
    app: Celery, worker: InProcess, runtime: Runtime
) -> None:
    sent = app.tasks["shop.items"].apply_async((2,))
    with app.connection_for_write() as connection:
        message = app.amqp.queues[app.conf.task_default_queue](connection.default_channel).get()
        assert message is not None
        assert not [name for name in message.headers if name.startswith("graceful")]
        message.reject(requeue=True)
    deliver(app, worker)
    record = runtime.store.load(RunKey("shop.items", sent.id)).record
    assert record is not None
    written = json.loads(extra_of(record))
    assert not {"options", "paused_at", "seconds"} & written.keys()


# -- with other parts of runs -----------------------------------------------------------------


def test_a_cursor_has_the_version_of_the_code(
    app: Celery, runs: Runs, worker: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Items, "cursor_version", 2)
    run = runs.start("shop.items", [4], cursor=1)
    deliver(app, worker)
    assert runs.get(run.id).state == "completed"
    assert [seen[0] for seen in Items.seen if isinstance(seen[0], int)] == [2, 3]


def test_items_of_a_dry_run_are_tried_again_dry(
    app: Celery, runs: Runs, worker: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any, number: int, many: int, *, dry_run: bool = False) -> None:
        self.seen.append((number, dry_run))
        raise ValueError(number)

    monkeypatch.setattr(Items, "each_iteration", fail)
    monkeypatch.setattr(Items, "max_failed_items", 5)
    run = runs.start("shop.items", [2], dry_run=True, once=KEY, limit=2)
    deliver(app, worker)
    assert runs.get(run.id).quarantined == 2
    Items.seen.clear()
    runs.replay(run.id)
    deliver(app, worker)
    assert [seen for seen in Items.seen if isinstance(seen[0], int)] == [(0, True), (1, True)]


# -- eagerly ----------------------------------------------------------------------------------


@pytest.fixture
def eager(app: Celery) -> None:
    app.conf.update(task_always_eager=True, task_eager_propagates=True)


@pytest.mark.usefixtures("eager")
def test_an_eager_app_runs_it_at_once(app: Celery, runs: Runs) -> None:
    run = runs.start("shop.items", [9], cursor=1, limit=3, dry_run=True, once=KEY)
    assert run.state == "completed"
    assert runs.wait(KEY, timeout=1).id == run.id
    items = [seen for seen in Items.seen if isinstance(seen[0], int)]
    assert items == [(n, True) for n in (2, 3, 4)]
    assert runs.start("shop.items", [9], once=KEY).id == run.id
    assert len(Items.seen) == 5


@pytest.mark.usefixtures("eager")
def test_an_eager_run_that_fails(app: Celery, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any, number: int, many: int) -> None:
        raise ValueError(number)

    monkeypatch.setattr(Items, "each_iteration", fail)
    with pytest.raises(ValueError, match="0"):
        runs.start("shop.items", [2], once=KEY)
    assert runs.get(KEY).state == "failed"
    app.conf.task_eager_propagates = False
    assert runs.start("shop.items", [2], once=KEY).state == "failed"
    with pytest.raises(ValueError, match="without a pause"):
        runs.start("shop.items", [2], pause_after=1)
