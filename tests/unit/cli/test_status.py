"""``status``, without workers but those that are written down."""

from __future__ import annotations

import re
from typing import Any

import pytest
from celery import Celery
from kombu.exceptions import OperationalError

from celery_graceful.maintenance import api, barrier_wait, broker_replies
from celery_graceful.maintenance.mode_changes import NOTICE, read
from celery_graceful.runs.observers import user_at_host
from celery_graceful.runtime import Runtime, forget
from celery_graceful.stores.base import NOTICES
from tests.unit.cli.shop import Run, data_of
from tests.unit.maintenance.workers import LATEST, MAIL, attend, member

pytestmark = pytest.mark.usefixtures("queues")


def test_status_without_a_worker(call: Run) -> None:
    done = call("status")
    assert done.exit_code == 69
    assert done.stdout.startswith("Running (mode version 0)")
    assert "No worker is there (app shop, broker memory://" in done.stderr


#: Commands, and whether something is held after them.
MODES: dict[str, tuple[list[list[str]], bool]] = {
    "untouched": ([], False),
    "down": ([["down"]], True),
    "partly down": ([["down", "-Q", "mail"]], True),
    "up again": ([["down"], ["up"]], False),
    "slow start": ([["down"], ["up", "--ramp", "5m"]], False),
}
#: Workers that the store knows, and whether one counts when the broker answers, and when not.
WORKERS = {
    "none": ([], False, False),
    "lost": ([member(9999)], False, True),
    "live": ([member()], True, True),
    "forced": ([member(forced=True)], True, True),
    "one of two": ([member(), member(9999, "w2@host")], True, True),
}


@pytest.mark.parametrize("asked", [True, False], ids=["broker", "no broker"])
@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("mode", MODES)
def test_the_exit_code_of_status(
    mode: str, workers: str, asked: bool, call: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*args: Any, **options: Any) -> list[Any]:
        if asked:
            return []
        raise OperationalError("refused")

    commands, down = MODES[mode]
    known, counts, counts_unasked = WORKERS[workers]
    for words in commands:
        assert call(*words).exit_code == 0
    monkeypatch.setattr(broker_replies, "ask", ask)
    for module in (api, barrier_wait):
        monkeypatch.setattr(module, "known_workers", lambda _: known)
    there = counts if asked else counts_unasked
    done = call("status")
    assert done.exit_code == (10 if down else 0 if there else 69)
    assert ("No worker is there" in done.stderr) is not there
    assert ("could not be asked" in done.stderr) is not asked


@pytest.mark.parametrize("mode", ["untouched", "down"])
def test_the_exit_code_of_status_without_a_store(mode: str, call: Run, app: Celery) -> None:
    for words in MODES[mode][0]:
        call(*words)
    app.conf.graceful_store = "redis://127.0.0.1:1/0"
    forget(app)
    done = call("status")
    assert (done.exit_code, "127.0.0.1:1" in done.stderr) == (69, True)


def test_the_exit_code_of_status_when_the_mode_cannot_be_read(call: Run, runtime: Runtime) -> None:
    runtime.store.write_text(NOTICES, NOTICE, "{", expected=0)
    assert call("status").exit_code == 4


def test_status_of_running_workers(call: Run, runtime: Runtime) -> None:
    attend(runtime.store, version=0, busy=(MAIL,))
    done = call("status")
    assert done.exit_code == 0
    assert "w1@host prefork running 0 1/4" in re.sub(" +", " ", done.stdout)


def test_status_in_maintenance(call: Run, runtime: Runtime) -> None:
    call("down", "-Q", "mail", "--reason", "deploy 42", "--for", "30m")
    attend(runtime.store, version=LATEST)
    attend(runtime.store, "slow@host", version=0, busy=(MAIL,))
    attend(runtime.store, "stubborn@host", version=LATEST, forced=True)
    done = call("status")
    assert done.exit_code == 10
    text, me = re.sub(" +", " ", done.stdout), user_at_host()
    assert text.startswith("In maintenance (mode version 1")
    assert re.search(rf"queue mail .*Z \(.+ ago\) .*\(in .*\) {me} stop deploy 42", text)
    assert f"w1@host prefork partly paused {LATEST} 0/4" in text
    assert "slow@host prefork pausing 0 1/4" in text
    assert f"stubborn@host prefork forced {LATEST} 0/4" in text
    assert re.search(rf"Latest changes:\n .*Z {me} down queue mail, until .*Z: deploy 42", text)


def test_status_as_data(call: Run, runtime: Runtime) -> None:
    call("down", "--reason", "deploy 42")
    call("up", "--ramp", "5m")
    attend(runtime.store, version=LATEST, busy=(MAIL,))
    done = call("status", "--json")
    assert done.exit_code == 0
    data = data_of(done.stdout)
    assert (data["app"], data["down"], data["holds"]) == ("shop", False, [])
    assert data["version"] == read(runtime).mode.version
    assert data["ramp"]["until"] - data["ramp"]["since"] == 300
    assert [deed["verb"] for deed in data["log"]] == ["down", "up"]
    (worker,) = data["workers"]
    assert (worker["hostname"], worker["state"], worker["forced"]) == ("w1@host", "running", False)
    assert worker["busy"] == [
        {"task": "shop.mail", "id": "m1", "queue": "mail", "seconds": 3.0, "run": False}
    ]
