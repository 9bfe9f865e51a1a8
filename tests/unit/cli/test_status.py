"""``status``, without workers but those that are written down."""

from __future__ import annotations

import re

import pytest

from celery_graceful.maintenance.control import me, read
from celery_graceful.runtime import Runtime
from tests.unit.cli.shop import Run, data_of
from tests.unit.maintenance.workers import LATEST, MAIL, attend

pytestmark = pytest.mark.usefixtures("queues")


def test_status_without_a_worker(call: Run) -> None:
    done = call("status")
    assert done.exit_code == 69
    assert done.stdout.startswith("Running (mode version 0)")
    assert "No worker of the app shop is there" in done.stderr


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
    text = re.sub(" +", " ", done.stdout)
    assert text.startswith("In maintenance (mode version 1")
    assert re.search(rf"queue mail .*Z \(.+ ago\) .*\(in .*\) {me()} leave deploy 42", text)
    assert f"w1@host prefork partly paused {LATEST} 0/4" in text
    assert "slow@host prefork pausing 0 1/4" in text
    assert f"stubborn@host prefork forced {LATEST} 0/4" in text
    assert re.search(rf"Lately:\n .*Z {me()} down queue mail, until .*Z: deploy 42", text)


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
