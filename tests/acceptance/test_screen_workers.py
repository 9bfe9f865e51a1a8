"""The screen over real workers: the barrier fills up, and nothing of a worker's host is hidden."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from celery_graceful import Graceful
from celery_graceful.web.dispatch import Screen
from tests.acceptance.scene import Scene
from tests.harness import Ledger, Worker, wait_for
from tests.unit.web.scene import Browser

SECRET = "hunter2"


@pytest.fixture
def scene(redis_url: str, ledger: Ledger, start_worker: Callable[..., Worker]) -> Scene:
    scene = Scene("leaking", redis_url, redis_url, ledger, start_worker)
    scene.settings = {
        "graceful_store": redis_url,
        "graceful_namespace": "leaking",
        "graceful_leaked_processes": "kill",
        "graceful_grace_period": "30s",
        "graceful_maintenance_poll": 0.5,
    }
    return scene


@pytest.fixture
def browser(scene: Scene) -> Iterator[Browser]:
    with scene.producer() as app:
        Graceful(app)
        yield Browser(Screen(app))


def until(browser: Browser, url: str, *parts: str) -> str:
    """The page, once all of this is on it."""

    def shown() -> bool:
        time.sleep(0.1)
        return all(re.search(part, browser.get(url), re.DOTALL) for part in parts)

    wait_for(shown, 40, f"{parts} on {url}")
    return browser.text


def test_a_down_waits_for_a_task_with_a_process_beside_it(scene: Scene, browser: Browser) -> None:
    scene.worker(concurrency=1)
    app, ledger = browser.screen.app, scene.ledger
    leaked = app.send_task("leaking.tunnel", ("sleep 600",)).get(timeout=20)
    sent = app.send_task("leaking.beside", (SECRET,))
    wait_for(lambda: len(ledger) == 1, 20, "the process beside it")
    (pid,) = ledger.items()
    page = until(browser, "/processes", rf"leaking\.beside.*{pid}", rf"leaking\.tunnel.*{leaked}")
    assert "sleep 600" in page
    assert SECRET not in page
    assert "is being ended" not in page
    assert re.search(r"</span> (ended|killed)</span>", page)
    page = until(browser, "/workers", r"30s", r"1 of 1 slot", r"1 running worker\.")
    assert "graceful_grace_period" in page

    browser.get("/maintenance")
    began = time.monotonic()
    browser.post("/maintenance/down", what="all", reason="migration 0042")
    assert time.monotonic() - began < 5, "it does not wait for the workers"
    page = until(browser, "/maintenance", r"0 of 1 worker paused; 1 task still runs")
    assert "is waited for until it ends" in page
    for _ in range(3):
        assert "Nothing that is held runs" not in browser.get("/maintenance")
    ledger.add("enough")
    until(browser, "/maintenance", r"1 of 1 worker paused\. Nothing that is held runs")
    assert sent.ready()
    until(browser, "/processes", "No task has a background process now")
    assert not psutil.pid_exists(pid)

    held = app.send_task("leaking.nothing")
    browser.post("/maintenance/up")
    assert browser.message.startswith("Up: everything.")
    assert held.get(timeout=20)
    assert "Nothing is held" in browser.get("/maintenance")
