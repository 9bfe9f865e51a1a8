"""An open page: 304 until something happens, and few calls of the store."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest
from celery import Celery

from celery_graceful import errors
from celery_graceful.runtime import Runtime
from celery_graceful.web.dispatch import Screen
from celery_graceful.web.pages import runs_page
from celery_graceful.web.rendering import shown_runs
from celery_graceful.web.snapshots import Snapshots
from tests.unit.web import scene
from tests.unit.web.scene import Browser, begin, save


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(screen: Screen) -> Clock:
    clock = Clock()
    screen.snapshots = Snapshots(clock)
    return clock


class Counting:
    """A store that counts its calls."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.calls: Counter[str] = Counter()
        self.away = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.store, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            if self.away:
                raise errors.StoreUnavailable("redis://ann:hunter2@db:6379/0 does not answer")
            return found(*args, **kwargs)

        return call


@pytest.fixture
def store(runtime: Runtime) -> Counting:
    counting = Counting(runtime.store)
    runtime.__dict__["store"] = counting
    return counting


def poll(browser: Browser, url: str) -> int:
    """The status of a poll, as the script sends it."""
    assert browser.last is not None
    tag = browser.last.header("etag") or browser.cookies.get("tag", "")
    browser.cookies["tag"] = tag
    browser.get(url, **{"x-graceful-poll": "1", "if-none-match": tag})
    return browser.status


@pytest.mark.parametrize("url", ["/", "/runs/one", "/?state=all"])
def test_a_page_is_not_sent_again_until_something_happens(
    runtime: Runtime, browser: Browser, clock: Clock, url: str
) -> None:
    now = time.time()
    fence = scene.travelled(runtime, "one", now - 900)
    begin(runtime, "two", at=now - 5)
    browser.get(url)
    for _ in range(5):
        clock.now += 20
        assert poll(browser, url) == 304
        assert browser.last is not None
        assert browser.last.body == b""
    save(runtime, "one", fence, 30_000, 60_000)
    clock.now += 20
    assert poll(browser, url) == 200
    assert "30,000" in browser.text


@pytest.mark.parametrize("url", ["/", "/runs/one", "/?text=one", "/?state=paused"])
def test_an_open_page_costs_the_store_a_call_a_second_at_most(
    runtime: Runtime, store: Counting, browser: Browser, clock: Clock, url: str
) -> None:
    fence = scene.travelled(runtime, "one", time.time() - 900)
    scene.quarantine(runtime, "one", fence)
    for number in range(60):
        begin(runtime, f"run-{number:02}")
    browsers = [Browser(browser.screen, f"user{number}") for number in range(5)]
    for each in browsers:
        each.get(url)
    store.calls.clear()
    for _ in range(60):  # two minutes
        clock.now += 2
        for each in browsers:
            each.get(url)
            assert each.status == 200
    calls = sum(store.calls.values())
    print(f"{url}: {calls / 120:.2f} calls a second: {dict(store.calls)}")
    assert calls <= 120


def test_a_change_is_seen_at_once(runtime: Runtime, browser: Browser, clock: Clock) -> None:
    begin(runtime, "one")
    browser.get("/runs/one")
    browser.post("/do", verb="pause", id="one", one="yes", back="/runs/one")
    assert "asked to pause" in browser.text or "pause" in browser.message


def test_a_store_that_is_away_is_a_page_and_is_not_asked_by_everybody(
    store: Counting, browser: Browser, clock: Clock, runtime: Runtime
) -> None:
    begin(runtime, "one")
    store.away = True
    store.calls.clear()
    for _ in range(10):
        page = browser.get("/")
        assert browser.status == 503
    assert browser.last is not None
    assert browser.last.header("retry-after")
    assert "does not answer" in page
    assert "hunter2" not in page
    assert sum(store.calls.values()) <= 2
    browser.get("/ready")
    assert browser.status == 503
    browser.get("/health")
    assert browser.status == 200
    store.away = False
    clock.now += 10
    browser.get("/")
    assert browser.status == 200
    browser.get("/ready")
    assert browser.status == 200


def test_a_message_stays_until_the_page_and_not_its_polls_shows_it(
    runtime: Runtime, browser: Browser
) -> None:
    begin(runtime, "one")
    browser.get("/")
    fields = {
        "verb": "pause",
        "id": "one",
        "one": "yes",
        "back": "/",
        "form_token": browser.token(),
    }
    from celery_graceful.web.http import Fields

    response = browser.screen.answer(browser.request_for("POST", "/do", Fields.of(fields)))
    browser.keep_cookies(response)
    browser.get("/", **{"x-graceful-poll": "1"})
    assert browser.message == ""
    browser.get("/")
    assert "Pause: asked" in browser.message
    browser.get("/")
    assert browser.message == ""


def test_snapshots_are_read_by_one_thread_for_all() -> None:
    from concurrent.futures import ThreadPoolExecutor

    reads = []

    def read() -> int:
        reads.append(1)
        time.sleep(0.02)
        return len(reads)

    snapshots = Snapshots()
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: snapshots.get("key", 60, read), range(16)))
    assert got == [1] * 16


def test_how_long_things_are_shown_is_what_the_figures_are_for() -> None:
    assert runs_page.LASTS <= 5
    assert shown_runs.SITUATION_LASTS <= 15


def test_the_app_of_a_screen_may_be_configured_late() -> None:
    app = Celery("late", set_as_current=False)
    screen = Screen(app)
    app.conf.update(graceful_store="memory://", broker_url="memory://")
    browser = Browser(screen)
    browser.get("/")
    assert browser.status == 200
    app.close()
