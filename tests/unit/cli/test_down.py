"""``down`` and ``up``, without workers but those that are written down."""

from __future__ import annotations

import os
import re
import signal
import threading
from typing import Any

import pytest
from celery import Celery

from celery_graceful.maintenance import barrier_wait
from celery_graceful.maintenance.api import Maintenance
from celery_graceful.maintenance.broker_replies import ask_workers
from celery_graceful.maintenance.mode_changes import NOTICE, read
from celery_graceful.runs.observers import user_at_host
from celery_graceful.runtime import Runtime, forget
from celery_graceful.stores.base import NOTICES
from tests.harness.waiting import wait_for
from tests.unit.cli.shop import TASK, Run, data_of
from tests.unit.maintenance.workers import IMPORT, LATEST, MAIL, attend

pytestmark = pytest.mark.usefixtures("queues", "quick_answers")


def held(runtime: Runtime) -> list[str]:
    return [str(hold.scope) for hold in read(runtime).mode.holds]


# -- down ------------------------------------------------------------------------------------


def test_down_says_whom_it_concerns_and_how_to_undo_it(call: Run, runtime: Runtime) -> None:
    attend(runtime.store)
    attend(runtime.store, "stubborn@host", forced=True)
    done = call("down", "--reason", "deploy 42", "--for", "30m")
    assert (done.exit_code, done.stdout) == (0, "")
    whom, workers, forced, exempt, outcome, *_, undo = done.stderr.splitlines()
    assert re.match("App shop, broker memory://.*, store redis://", whom)
    assert workers == "Workers: w1@host"
    assert forced == "Forced, they ignore maintenance: stubborn@host"
    assert exempt == "Exempt queues: alerts"
    assert outcome == "Down: everything, for 30m."
    assert undo == "Undo: celery graceful up"
    (hold,) = read(runtime).mode.holds
    assert (hold.reason, hold.who, hold.interrupt) == ("deploy 42", user_at_host(), True)


def test_queues_and_tasks_by_name(call: Run, runtime: Runtime) -> None:
    done = call("down", "-Q", "mail,celery", "-T", "shop.*", "--no-interrupt")
    assert done.exit_code == 0
    assert held(runtime) == ["queue celery", "queue mail", "task shop.*"]
    assert not read(runtime).mode.holds[0].interrupt
    assert done.stderr.splitlines()[-1] == (
        "Undo: celery graceful up -Q mail -Q celery -T 'shop.*'"
    )


def test_the_undo_of_an_update_brings_the_old_terms_back(call: Run, runtime: Runtime) -> None:
    call("down", "--reason", "one")
    done = call("down", "--reason", "two")
    assert "Down (again): everything" in done.stderr
    undo = done.stderr.splitlines()[-1]
    assert undo == "Undo: celery graceful down --reason one"
    call(*undo.split()[3:])
    assert read(runtime).mode.holds[0].reason == "one"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--for", "soon"), 2, "is not a duration"),
        (("--for", "0"), 2, "is no time at all"),
        (("--wait", "--timeout", "-5"), 2, "negative duration"),
        (("--timeout", "5s"), 2, "--timeout goes with --wait"),
        (("--dry-run", "--wait"), 2, "no --wait"),
        (("-Q", "mial"), 2, "Did you mean mail?"),
        (("-Q", "mail,"), 2, "a name is empty"),
        (("-T", "shop.imports"), 2, f"Did you mean {TASK}?"),
        (("-Q", "alerts"), 4, "exempt from maintenance"),
    ],
)
def test_what_cannot_be_meant_is_told(
    call: Run, runtime: Runtime, words: tuple[str, ...], code: int, told: str
) -> None:
    done = call("down", *words)
    assert (done.exit_code, told in done.stderr) == (code, True), done.stderr
    assert read(runtime).mode.version == 0


@pytest.mark.parametrize("verb", ["down", "up", "status"])
def test_a_store_that_is_away(call: Run, app: Celery, verb: str) -> None:
    app.conf.graceful_store = "redis://127.0.0.1:1/0"
    forget(app)
    done = call(verb)
    assert done.exit_code == 69
    assert "127.0.0.1:1" in done.stderr
    assert "Undo" not in done.stderr


def test_a_broker_that_is_away_is_told_and_no_error(call: Run, runtime: Runtime) -> None:
    attend(runtime.store)
    runtime.app.conf.update(broker_url="redis://127.0.0.1:1/0")
    done = call("down", "--json")
    assert done.exit_code == 0
    assert "could not be notified at once" in done.stderr
    assert ".." not in done.stderr
    assert len(data_of(done.stdout)["warnings"]) == 1


# -- down --wait -----------------------------------------------------------------------------


def test_waiting_ends_when_all_have_paused(call: Run, runtime: Runtime) -> None:
    attend(runtime.store, version=LATEST)
    attend(runtime.store, "stubborn@host", forced=True, busy=(MAIL,), version=0)
    done = call("down", "--wait", "--timeout", "20s")
    assert done.exit_code == 0, done.stderr
    assert "1 of 1 worker paused; nothing that is held runs." in done.stderr
    assert "Forced, not waited for: stubborn@host" in done.stderr
    assert done.stderr.splitlines()[-1] == "Undo: celery graceful up"


def test_a_wait_that_times_out_names_what_runs_and_stays_down(call: Run, runtime: Runtime) -> None:
    attend(runtime.store, version=LATEST, busy=(IMPORT,))
    done = call("down", "--wait", "--timeout", "300ms", "--json")
    assert done.exit_code == 3
    assert "0 of 1 worker paused; waiting for" in done.stderr
    assert "w1@host: shop.import[i1] has run for 12.0 s" in done.stderr
    assert done.stderr.splitlines()[-1] == ("Maintenance stays on. End it with: celery graceful up")
    data = data_of(done.stdout)
    assert (data["down"], data["paused"]) == (True, False)
    assert data["waited_for"] == [
        {
            "worker": "w1@host",
            "why": "shop.import[i1] has run for 12.0 s",
            "task": "shop.import",
            "id": "i1",
            "seconds": 12.0,
        }
    ]
    assert held(runtime) == ["everything"]


def test_a_wait_that_somebody_else_ends(call: Run, runtime: Runtime) -> None:
    attend(runtime.store, version=0)
    other = runtime.open_store()

    def release() -> None:
        wait_for(lambda: other.read_text(NOTICES, NOTICE).version > 0, timeout=10)
        Maintenance(lambda: runtime.app).up(who="bob@host")
        other.close()

    thread = threading.Thread(target=release)
    thread.start()
    done = call("down", "--wait", "--timeout", "20s")
    thread.join()
    assert done.exit_code == 4
    assert "bob@host has released everything meanwhile" in done.stderr


def test_breaking_off_a_wait_leaves_it_down(
    call: Run, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = threading.Event()

    def hear_on_and_on(*args: Any, **options: Any) -> None:
        waits.set()
        for _ in range(100):
            ask_workers(*args, **options)

    def interrupt() -> None:
        waits.wait(30)
        wait_for(lambda: "graceful-time-limit" in {t.name for t in threading.enumerate()})
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(barrier_wait, "ask_workers", hear_on_and_on)
    thread = threading.Thread(target=interrupt)
    # Tests that run in several processes ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        thread.start()
        done = call("down", "--wait", "--timeout", "20s")
        thread.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.exit_code == 130
    assert done.stderr.splitlines()[-1] == (
        "No longer waiting. Maintenance stays on. End it with: celery graceful up"
    )
    assert held(runtime) == ["everything"]


def test_down_again_on_the_same_terms_names_the_way_out(call: Run, runtime: Runtime) -> None:
    call("down", "-T", "shop.*", "--reason", "one")
    done = call("down", "-T", "shop.*", "--reason", "one", "-j")
    assert data_of(done.stdout)["undo"] == []
    assert done.stderr.splitlines()[-1] == (
        "It was held on these terms before. End it with: celery graceful up -T 'shop.*'"
    )


def test_waiting_again_names_what_ends_it(call: Run, runtime: Runtime) -> None:
    attend(runtime.store, busy=(MAIL,))
    call("down")
    done = call("down", "--wait", "-t", "0.3s")
    assert done.exit_code == 3
    assert done.stderr.splitlines()[-1] == "Maintenance stays on. End it with: celery graceful up"


# -- down --dry-run --------------------------------------------------------------------------


def test_a_dry_run_tells_and_changes_nothing(call: Run, runtime: Runtime) -> None:
    attend(
        runtime.store,
        busy=(IMPORT, MAIL),
        longest={"shop.mail": 10.0},
        queues=("celery", "mail", "alerts"),
    )
    attend(runtime.store, "stubborn@host", forced=True, busy=(MAIL,))
    done = call("down", "--dry-run")
    assert done.exit_code == 0
    text = re.sub(" +", " ", done.stdout)
    assert "Queues held: celery, mail\n" in text
    assert "Beat entries that would be held: all (skip)" in text
    assert "w1@host shop.import i1 12s stop at its next checkpoint –" in text
    assert "w1@host shop.mail m1 3s be waited for up to 7s" in text
    assert "stubborn" not in text
    assert read(runtime).mode.version == 0
    without = re.sub(" +", " ", call("down", "--dry-run", "--no-interrupt").stdout)
    assert "w1@host shop.import i1 12s be waited for no history" in without


def test_a_dry_run_as_data(call: Run, runtime: Runtime) -> None:
    attend(runtime.store, busy=(IMPORT, MAIL), longest={"shop.mail": 10.0})
    data = data_of(call("down", "-T", "shop.*", "--dry-run", "-j").stdout)
    assert (data["dry_run"], data["queues"], data["tasks"]) == (True, [], [TASK])
    assert [(each["task"], each["would"], each["left"]) for each in data["awaited"]] == [
        ("shop.import", "stop", None),
        ("shop.mail", "finish", 7.0),
    ]
    assert read(runtime).mode.version == 0


# -- up --------------------------------------------------------------------------------------


def test_up_ends_it_and_says_how_to_undo_that(call: Run, runtime: Runtime) -> None:
    call("down", "--reason", "deploy 42", "--no-interrupt")
    done = call("up", "--ramp", "5m")
    assert done.exit_code == 0
    assert "Up: everything, slowly, over 5m." in done.stderr
    undo = done.stderr.splitlines()[-1]
    assert undo == "Undo: celery graceful down --reason 'deploy 42' --no-interrupt"
    assert not read(runtime).mode.down


def test_up_when_all_is_up_is_fine(call: Run) -> None:
    done = call("up", "-j")
    assert done.exit_code == 0
    assert done.stderr.splitlines()[-1] == "All is up."
    assert data_of(done.stdout)["changed"] is False


def test_up_of_what_is_not_down_by_itself_is_refused(call: Run, runtime: Runtime) -> None:
    call("down", "--reason", "deploy")
    done = call("up", "-Q", "mail")
    assert done.exit_code == 4
    assert f"held: everything (by {user_at_host()}, deploy); release that with `up`" in done.stderr
    assert held(runtime) == ["everything"]


def test_up_of_one_of_two(call: Run, runtime: Runtime) -> None:
    call("down", "-Q", "mail,celery")
    done = call("up", "-Q", "mail", "--json")
    assert "Up: queue mail. Still held: queue celery." in done.stderr
    data = data_of(done.stdout)
    assert (data["changed"], data["down"], data["undo"]) == (
        True,
        True,
        ["celery graceful down -Q mail"],
    )


def test_up_replaces_what_nobody_can_read(call: Run, runtime: Runtime) -> None:
    runtime.store.write_text(NOTICES, "maintenance", "{", expected=0)
    for words in (("down",), ("status",), ("up", "-Q", "mail")):
        done = call(*words)
        assert done.exit_code == 4
        assert "`graceful up` replaces it" in done.stderr
    done = call("up")
    assert done.exit_code == 0
    assert "What was held could not be read: nothing is held now." in done.stderr
    assert not read(runtime).mode.down
