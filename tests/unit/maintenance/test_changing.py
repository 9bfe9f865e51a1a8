"""`down` and `up`, from Python."""

from __future__ import annotations

import threading
import time

import pytest
from celery import Celery
from redis import Redis

from celery_graceful import Graceful
from celery_graceful.errors import (
    CorruptRecord,
    NewerRecord,
    ScopeNotDown,
    ScopeRefused,
    StoreUnavailable,
    UnknownScope,
)
from celery_graceful.maintenance.mode_changes import NOTICE, change, read
from celery_graceful.model.maintenance.mode import EVERYTHING, Kind, Scope, hold_scopes
from celery_graceful.runs.observers import user_at_host
from celery_graceful.runtime import Runtime, forget
from celery_graceful.stores.base import NOTICES
from tests.harness.waiting import wait_for
from tests.unit.maintenance.workers import attend

MAIL = Scope(Kind.QUEUE, "mail")


def held(runtime: Runtime) -> list[str]:
    return [str(hold.scope) for hold in read(runtime).mode.holds]


def test_everything_goes_down_and_up(graceful: Graceful, runtime: Runtime) -> None:
    done = graceful.maintenance.down(reason="deploy 42", seconds="30m")
    (hold,) = read(runtime).mode.holds
    assert (hold.scope, hold.reason, hold.who) == (EVERYTHING, "deploy 42", user_at_host())
    assert hold.until == pytest.approx(hold.since + 1800)
    assert (done.before.down, done.mode.down) == (False, True)
    assert done.warnings == ()
    lifted = graceful.maintenance.up(ramp="5m", who="bob@host")
    assert (lifted.before.down, lifted.mode.down) == (True, False)
    assert lifted.mode.ramp is not None
    assert lifted.mode.ramp.seconds == 300
    assert [(deed.verb, deed.who) for deed in read(runtime).mode.log] == [
        ("down", user_at_host()),
        ("up", "bob@host"),
    ]


def test_down_again_updates_and_does_not_begin_anew(graceful: Graceful, runtime: Runtime) -> None:
    first = graceful.maintenance.down(["mail"], reason="one").mode.holds[0]
    second = graceful.maintenance.down(["mail"], reason="two", interrupt=False).mode.holds[0]
    assert (second.since, second.reason, second.interrupt) == (first.since, "two", False)
    assert held(runtime) == ["queue mail"]


def test_queues_and_tasks_are_held_and_lifted_one_by_one(
    graceful: Graceful, runtime: Runtime
) -> None:
    graceful.maintenance.down(["mail"], ["shop.imp*"])
    assert held(runtime) == ["queue mail", "task shop.imp*"]
    graceful.maintenance.up(["mail"])
    assert held(runtime) == ["task shop.imp*"]
    with pytest.raises(ScopeNotDown, match="queue mail is not held by its own name; held: task"):
        graceful.maintenance.up(["mail"])
    graceful.maintenance.up()
    assert held(runtime) == []


def test_up_when_nothing_is_down_changes_nothing(graceful: Graceful, runtime: Runtime) -> None:
    assert graceful.maintenance.up().mode.version == 0
    down = graceful.maintenance.down().mode.version
    assert graceful.maintenance.up().mode.version == down + 1
    assert graceful.maintenance.up().mode.version == down + 1


@pytest.mark.parametrize(
    ("queues", "tasks", "error", "told"),
    [
        (["mial"], [], UnknownScope, "Did you mean mail?"),
        (["nowhere"], [], UnknownScope, "There are: alerts, celery, mail."),
        (["alerts"], [], ScopeRefused, "exempt from maintenance"),
        ([], ["shop.maill"], UnknownScope, "Did you mean shop.mail"),
        ([], ["warehouse.*"], UnknownScope, "No task 'warehouse.*'"),
        ([], ["celery.*"], UnknownScope, "No task 'celery.*'"),
    ],
)
def test_names_that_mean_nothing_are_told_with_the_nearest(
    graceful: Graceful,
    runtime: Runtime,
    queues: list[str],
    tasks: list[str],
    error: type[Exception],
    told: str,
) -> None:
    with pytest.raises(error) as told_so:
        graceful.maintenance.down(queues, tasks)
    assert told in str(told_so.value)
    assert read(runtime).mode.version == 0


def test_one_of_celerys_own_tasks_can_be_held_by_its_name(
    graceful: Graceful, runtime: Runtime
) -> None:
    graceful.maintenance.down(tasks=["celery.chord_unlock"])
    assert held(runtime) == ["task celery.chord_unlock"]


def test_a_queue_that_only_a_worker_knows_can_be_held(graceful: Graceful, runtime: Runtime) -> None:
    attend(runtime.store, queues=("routed",))
    graceful.maintenance.down(["routed"])
    assert held(runtime) == ["queue routed"]


def test_a_name_instead_of_a_list_is_no_list_of_letters(graceful: Graceful) -> None:
    with pytest.raises(TypeError, match=r"\['mail'\]"):
        graceful.maintenance.down("mail")


@pytest.mark.parametrize("words", ["soon", "-5", 0, "0s"])
def test_a_duration_that_is_none(graceful: Graceful, runtime: Runtime, words: str) -> None:
    with pytest.raises(ValueError, match=r"duration|no time"):
        graceful.maintenance.down(seconds=words)
    assert read(runtime).mode.version == 0


def test_more_than_can_be_kept_is_refused(graceful: Graceful, runtime: Runtime) -> None:
    with pytest.raises(ScopeRefused, match="at most 32768 are kept"):
        graceful.maintenance.down(reason="x" * 33_000)
    assert read(runtime).mode.version == 0


def test_the_log_is_cut_before_it_is_too_long(graceful: Graceful, runtime: Runtime) -> None:
    for number in range(9):
        graceful.maintenance.down(reason=f"{number}" * 20_000)
    assert len(runtime.store.read_text(NOTICES, NOTICE).text.encode()) <= 60 * 1024
    assert read(runtime).mode.log[-1].reason[0] == "8"


def test_changes_at_the_same_time_are_all_kept(graceful: Graceful, runtime: Runtime) -> None:
    def hold(queue: str) -> None:
        graceful.maintenance.down([queue])

    threads = [threading.Thread(target=hold, args=(q,)) for q in ("celery", "mail") * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held(runtime) == ["queue celery", "queue mail"]
    assert len(read(runtime).mode.log) == 6


def test_what_has_ended_by_itself_is_down_no_longer(graceful: Graceful, runtime: Runtime) -> None:
    graceful.maintenance.down(seconds=0.001)
    wait_for(lambda: not read(runtime).mode.down, timeout=10)
    graceful.maintenance.down(["mail"])
    assert held(runtime) == ["queue mail"]
    assert [deed.verb for deed in read(runtime).mode.log] == ["down", "ended", "down"]


def test_a_mode_that_nobody_can_read(graceful: Graceful, runtime: Runtime) -> None:
    runtime.store.write_text(NOTICES, NOTICE, "{", expected=0)
    with pytest.raises(CorruptRecord, match="`graceful up` replaces it"):
        graceful.maintenance.down()
    with pytest.raises(CorruptRecord):
        graceful.maintenance.up(["mail"])
    assert runtime.store.read_text(NOTICES, NOTICE).text == "{"
    mode = graceful.maintenance.up().mode
    assert (mode.version, mode.down, mode.parked) == (2, False, True)
    assert read(runtime).mode.log[-1].reason == "replaced a mode that could not be read"


def test_a_mode_of_a_later_version_is_left_alone(graceful: Graceful, runtime: Runtime) -> None:
    runtime.store.write_text(NOTICES, NOTICE, '{"schema": 99}', expected=0)
    for call in (graceful.maintenance.down, graceful.maintenance.up):
        with pytest.raises(NewerRecord, match="update this program"):
            call()
    assert runtime.store.read_text(NOTICES, NOTICE).version > 0


def test_a_store_that_is_away_is_an_error(graceful: Graceful, app: Celery) -> None:
    app.conf.graceful_store = "redis://127.0.0.1:1/0"
    forget(app)
    for call in (graceful.maintenance.down, graceful.maintenance.up, graceful.maintenance.status):
        with pytest.raises(StoreUnavailable):
            call()


def test_a_broker_that_is_away_is_a_warning(graceful: Graceful, runtime: Runtime) -> None:
    attend(runtime.store)
    runtime.app.conf.update(broker_url="redis://127.0.0.1:1/0")
    done = graceful.maintenance.down()
    assert "could not be notified at once" in done.warnings[0]
    assert "within 500ms" in done.warnings[0]
    assert held(runtime) == ["everything"]


def test_an_app_may_come_later(app: Celery) -> None:
    graceful = Graceful()
    with pytest.raises(RuntimeError, match="call init_app"):
        graceful.maintenance.status()
    graceful.init_app(app)
    assert graceful.maintenance.down().mode.down


def test_reports_that_cannot_be_read_are_a_warning(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_kind: str) -> None:
        raise CorruptRecord("no reports")

    monkeypatch.setattr(runtime.store, "texts", fail)
    done = change(runtime, lambda mode, now: hold_scopes(mode, [EVERYTHING], now=now, who="me"))
    (warning,) = done.warnings
    assert "It is written, but" in warning
    assert "no reports" in warning
    assert held(runtime) == ["everything"]


def test_a_change_over_an_emptied_store_is_newer_than_what_workers_know(
    graceful: Graceful, runtime: Runtime
) -> None:
    """Else ``down --wait`` would take what a worker did before for what is asked of it now."""
    before = graceful.maintenance.down().mode.version
    for _ in range(3):
        with Redis.from_url(str(runtime.settings.store)) as client:
            client.flushdb()
        time.sleep(0.002)
        after = graceful.maintenance.down().mode.version
        assert after > before
        before = after


@pytest.mark.parametrize("change", ["down", "up"])
def test_a_time_that_could_not_be_read_again_is_refused(graceful: Graceful, change: str) -> None:
    graceful.maintenance.down()
    term = "seconds" if change == "down" else "ramp"
    with pytest.raises(ValueError, match="longer than ten years"):
        getattr(graceful.maintenance, change)(**{term: "9999999d"})
    getattr(graceful.maintenance, change)(**{term: "3650d"})
    assert graceful.maintenance.plan().queues
