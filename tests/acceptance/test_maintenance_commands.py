"""``down --wait``, ``up`` and ``status`` against real workers."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from typing import Any

from tests.acceptance.closing import Closing
from tests.acceptance.conftest import Figure
from tests.harness import Ledger, Worker, wait_for
from tests.servers.proxy import proxy
from tests.servers.valkey import Valkey

TRIVIAL = "tests.acceptance.apps.trivial"


#: Of the workers that the fixture ``upkeep`` makes.
SETTINGS = {"graceful_lease_ttl": 5, "graceful_maintenance_poll": 1}
#: Where no lease is to end: else a worker that is slow to report shows as cut off.
LONG_LEASE = 30


def status(upkeep: Closing) -> tuple[int, dict[str, Any]]:
    done = upkeep.graceful("status", "--json")
    data: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, data


def states(data: dict[str, Any]) -> dict[str, str]:
    return {worker["hostname"].partition("@")[0]: worker["state"] for worker in data["workers"]}


def test_down_waits_and_up_ends_it(upkeep: Closing, figure: Figure) -> None:
    upkeep.scene.settings["graceful_lease_ttl"] = LONG_LEASE
    worker = upkeep.scene.worker()
    forced = upkeep.scene.worker("--maintenance-force", "-Q", "own")
    for number in range(150):
        upkeep.send("short", number, 0.05)
    upkeep.send("walk", "run", 400, 0.01)
    upkeep.wait_noted("run:", 5, 60)

    began = time.monotonic()
    done = upkeep.graceful("down", "--wait", "--timeout", "30s", "--reason", "test")
    ended = time.monotonic()
    figure("down --wait, with two workers", ended - began)
    assert done.returncode == 0, done.stderr
    assert "1 of 1 worker paused" in done.stderr
    assert f"Forced, not waited for: {forced.name}@localhost" in done.stderr

    code, data = status(upkeep)
    assert (code, states(data)) == (10, {worker.name: "paused", forced.name: "forced"})
    assert upkeep.begun_after(ended) == []

    assert upkeep.graceful("up").returncode == 0
    wait_for(lambda: upkeep.begun_after(ended), 20, "work that goes on")
    wait_for(lambda: states(status(upkeep)[1])[worker.name] == "running", 30, "running")
    assert status(upkeep)[0] == 0


def test_what_still_runs_is_named(upkeep: Closing) -> None:
    upkeep.scene.settings["graceful_lease_ttl"] = LONG_LEASE
    worker = upkeep.scene.worker()
    long = upkeep.send("long", "slow", 60)
    upkeep.wait_noted("long:slow")
    done = upkeep.graceful("down", "--wait", "--timeout", "3s", "--json")
    assert done.returncode == 3
    (block,) = [each for each in json.loads(done.stdout)["waited_for"] if each["task"]]
    assert (block["worker"], block["task"], block["id"]) == (
        f"{worker.name}@localhost",
        "upkeep.long",
        long.id,
    )
    assert block["seconds"] > 0
    assert upkeep.mode().down

    plan = json.loads(upkeep.graceful("down", "--dry-run", "--json").stdout)
    assert [(each["id"], each["would"]) for each in plan["awaited"]] == [(long.id, "finish")]

    Ledger(upkeep.scene.ledger.path).add("hurry:slow")
    assert upkeep.graceful("down", "--wait", "--timeout", "20s").returncode == 0


def test_a_worker_without_the_plugin_is_named_unless_it_is_of_another_app(
    upkeep: Closing, start_worker: Callable[..., Worker]
) -> None:
    env = {"BROKER_URL": upkeep.scene.broker, "RESULT_URL": upkeep.scene.backend, "LEDGER": "-"}
    with_ours = start_worker(TRIVIAL, args=["-c", "1"], env=env, pool="threads")
    with_ours.wait_ready()
    others = start_worker(TRIVIAL, args=["-c", "1", "-Q", "theirs"], env=env, pool="threads")
    others.wait_ready()
    upkeep.scene.worker()

    done = upkeep.graceful("down", "--wait", "--timeout", "3s")
    assert done.returncode == 3
    assert f"{with_ours.name}@localhost: runs without celery-graceful" in done.stderr
    assert others.name not in done.stderr

    with_ours.signal(signal.SIGTERM)
    with_ours.wait()
    assert upkeep.graceful("down", "--wait", "--timeout", "20s").returncode == 0
    # Who asks does not fill the logs of those who do not know what is meant.
    assert "graceful" not in others.log().replace(TRIVIAL, "")
    assert with_ours.log().count("No such control command") <= 1


def test_a_killed_worker_is_not_waited_for_after_a_lease(upkeep: Closing) -> None:
    killed, living = upkeep.scene.worker(), upkeep.scene.worker()
    upkeep.send("long", "slow", 60)
    upkeep.wait_noted("long:slow")
    busy = next(
        w
        for w in (killed, living)
        if set(w.children()) & {e.pid for e in upkeep.scene.ledger.entries()}
    )
    other = living if busy is killed else killed
    busy.reap()
    done = upkeep.graceful("down", "--wait", "--timeout", "30s")
    assert done.returncode == 0, done.stderr
    assert f"taken as gone: {busy.name}@localhost" in done.stderr
    found = states(status(upkeep)[1])  # the killed one is listed for three leases
    assert found.pop(busy.name, "gone") == "gone"
    assert found == {other.name: "paused"}


def test_a_killed_worker_is_replaced_by_the_next_of_its_name(upkeep: Closing) -> None:
    upkeep.scene.settings["graceful_lease_ttl"] = 120  # no lease ends here
    killed = upkeep.scene.worker(name="same")
    upkeep.send("long", "slow", 60)
    upkeep.wait_noted("long:slow")
    killed.reap()
    upkeep.scene.worker(name="same")
    done = upkeep.graceful("down", "--wait", "--timeout", "60s")
    assert done.returncode == 0, done.stderr
    assert states(status(upkeep)[1]) == {"same": "paused"}


def test_a_worker_that_is_cut_off_from_the_store_answers_for_itself(
    upkeep: Closing, own_valkey: Valkey
) -> None:
    upkeep.scene.settings["graceful_store"] = own_valkey.url
    with proxy(own_valkey.port) as way:
        worker = upkeep.scene.worker(env=with_store(upkeep, f"redis://127.0.0.1:{way.port}/0"))
        upkeep.send("long", "slow", 60)
        upkeep.wait_noted("long:slow")
        way.close()
        wait_for(lambda: states(status(upkeep)[1]) == {worker.name: "cut off"}, 30, "cut off")

        waited = upkeep.graceful("down", "--wait", "--timeout", "4s")
        assert waited.returncode == 3
        assert f"{worker.name}@localhost: upkeep.long[" in waited.stderr

        Ledger(upkeep.scene.ledger.path).add("hurry:slow")
        done = upkeep.graceful("down", "--wait", "--timeout", "30s")
        assert done.returncode == 0, done.stderr


def with_store(upkeep: Closing, url: str) -> dict[str, str]:
    return {"SETTINGS": json.dumps({**upkeep.scene.settings, "graceful_store": url})}


def test_a_store_that_does_not_answer_is_no_silent_success(
    upkeep: Closing, own_valkey: Valkey
) -> None:
    upkeep.scene.settings["graceful_store"] = own_valkey.url
    own_valkey.freeze()
    try:
        for verb in ("down", "up", "status"):
            assert upkeep.graceful(verb).returncode == 69
    finally:
        own_valkey.thaw()
