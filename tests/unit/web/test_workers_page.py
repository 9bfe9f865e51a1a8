"""Workers and processes on the screen, by the workers' reports."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery

from celery_graceful.doctor.facts import running_workers
from celery_graceful.maintenance import barrier_wait, broker_replies
from celery_graceful.maintenance.broker_replies import BrokerReplies
from celery_graceful.maintenance.worker_details import Details, Process
from celery_graceful.maintenance.workers import Busy
from celery_graceful.processes.leaks.notes import Leak
from celery_graceful.runtime import Runtime, runtime_of
from celery_graceful.views.fleet.watch import Fleet
from celery_graceful.web.dispatch import Screen
from celery_graceful.web.snapshots import Snapshots
from tests.unit.maintenance.workers import attend
from tests.unit.web.scene import Browser

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e"
DETAILS = Details(
    plugin="0.4",
    celery="5.6.0",
    host="pod-1",
    grace=30.0,
    margin=6.0,
    grace_source="systemd",
    processes=(
        Process("ssh -N db", "shop.reindex", "r1", 12, 7, 5.0),
        Process(HOSTILE, "-", "-", 0, 7, 9.0),
    ),
    process_count=40,
    leaks=(Leak(9.0, ("shop.sync[s1]",), 13, HOSTILE, 0.5, "runs on", "w1@host", "shop"),),
    leak_mode="warn",
)


@pytest.fixture
def screen(app: Celery) -> Screen:
    screen = Screen(app)
    vars(screen)["fleet"] = Fleet(lambda: runtime_of(app), in_thread=False)
    return screen


@pytest.fixture(autouse=True)
def _workers(runtime: Runtime) -> None:
    busy = (
        Busy("shop.reindex", "r1", "celery", 5.0, run=True),
        Busy("shop.mail", "m1", "mail", 5.0),
        Busy(HOSTILE, HOSTILE, "mail", 0.0),
    )
    attend(runtime.store, "w1@host", busy=busy, details=DETAILS)
    attend(runtime.store, "w2@host")


def harmless(page: str) -> bool:
    return not any(bad in page for bad in ("<script>", "\x1b", "\u202e"))


def test_workers_say_what_they_are_and_do(browser: Browser) -> None:
    page = browser.get("/workers")
    assert browser.status == 200
    for part in ("w1@host", "pod-1", "prefork", "celery, mail", "30s", "systemd", "Celery 5.6.0"):
        assert part in page
    assert 'href="/runs/r1"' in page
    assert 'href="/runs/m1"' not in page, "no iterable task"
    assert "3 of 4" in page
    assert "The doctor is looking" in page
    assert "graceful doctor -m" in page
    assert harmless(page)


def test_the_doctors_findings_are_shown(screen: Screen, browser: Browser) -> None:
    browser.get("/workers")
    screen.fleet.round()
    page = browser.get("/workers")
    assert "no running worker" in page
    assert "GD" in page or "Nothing is wrong" in page


def test_processes_and_leaks(browser: Browser) -> None:
    page = browser.get("/processes")
    assert browser.status == 200
    assert "ssh -N db" in page
    assert 'href="/runs/r1"' in page
    assert "outside of a task" in page
    assert "starting" in page
    assert "And 38 more" in page
    assert "shop.sync[s1]" in page
    assert "runs on" in page
    assert harmless(page)


def test_who_does_not_look_for_leaks_is_named(runtime: Runtime, browser: Browser) -> None:
    attend(runtime.store, "w1@host", details=Details(leak_mode="off"))
    page = browser.get("/processes")
    assert "w1@host does not look" in page
    assert "No task has a background process now" in page


def test_nobody_is_there(runtime: Runtime, browser: Browser) -> None:
    for name in ("w1@host/a", "w2@host/a"):
        runtime.store.delete_text("reports", name)
    assert "No worker is there" in browser.get("/workers")
    assert "No worker is there" in browser.get("/processes")


def test_a_poll_finds_the_page_as_it_was(browser: Browser) -> None:
    browser.get("/processes")
    assert browser.last is not None
    tag = browser.last.header("etag")
    browser.get("/processes", **{"if-none-match": tag, "x-graceful-poll": "1"})
    assert browser.status == 304


# -- what an open page costs ------------------------------------------------------------------


class Counted:
    """A store that counts its calls."""

    def __init__(self, store: Any) -> None:
        self.store, self.calls = store, 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.store, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return found(*args, **kwargs)

        return call if callable(found) else found


@pytest.mark.parametrize("url", ["/workers", "/processes", "/maintenance"])
@pytest.mark.parametrize("held", [False, True], ids=["up", "down"])
def test_an_open_page_costs_the_store_a_call_a_second_at_most(
    app: Celery, runtime: Runtime, url: str, held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the thread that asks the workers included; only the broker is left out."""
    now = [1000.0]
    answers = BrokerReplies(consuming={"w1@host": frozenset(("celery",))})
    monkeypatch.setattr(broker_replies, "ask_workers", lambda *args, **options: answers)
    monkeypatch.setattr(barrier_wait, "ask_workers", lambda *args, **options: answers)
    monkeypatch.setattr(running_workers, "ask_workers", lambda *args, **options: ())
    screen = Screen(app)
    screen.snapshots = Snapshots(lambda: now[0])
    fleet = Fleet(lambda: runtime, in_thread=False, clock=lambda: now[0])
    vars(screen)["fleet"] = fleet
    if held:
        screen.maintenance.down(tasks=["shop.reindex"])
    store = Counted(runtime.store)
    vars(runtime)["store"] = store
    browsers = [Browser(screen, f"user{number}") for number in range(3)]
    for _ in range(60):  # two minutes
        now[0] += 2
        for browser in browsers:
            browser.get(url)
            assert browser.status == 200
        fleet.round()
    print(f"{url}: {store.calls / 120:.2f} calls a second")
    assert store.calls <= 120
