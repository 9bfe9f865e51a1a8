"""The mode on the screen: what is held, who is waited for, down, up, and what would be held."""

from __future__ import annotations

import re

import pytest
from celery import Celery

from celery_graceful.maintenance.workers import Busy
from celery_graceful.runtime import Runtime, runtime_of
from celery_graceful.views.fleet.watch import Fleet
from celery_graceful.web.dispatch import Screen
from celery_graceful.web.http import OPERATE, VIEW
from tests.unit.maintenance.workers import LATEST, attend
from tests.unit.web.scene import Browser


@pytest.fixture
def app(app: Celery) -> Celery:
    app.conf.update(
        task_queues={"celery": {}, "mail": {}, "alerts": {}},
        graceful_maintenance_exempt_queues=["alerts"],
    )
    return app


@pytest.fixture
def screen(app: Celery) -> Screen:
    screen = Screen(app)
    vars(screen)["fleet"] = Fleet(lambda: runtime_of(app), in_thread=False)
    return screen


def down(browser: Browser, **fields: str | list[str]) -> str:
    browser.get("/maintenance")
    return browser.post("/maintenance/down", **{"what": "all", **fields})


def summary(page: str) -> str:
    found = re.search(r'id="barrier-summary"><strong>(.*?)</strong>', page)
    return found[1] if found else ""


def test_nothing_is_held(browser: Browser) -> None:
    page = browser.get("/maintenance")
    assert "Nothing is held" in page
    assert "Begin maintenance" in page
    assert 'data-poll="2000"' in page


def test_down_and_up_have_the_users_name(browser: Browser) -> None:
    page = down(browser, reason="migration <b>42</b>", until="30m")
    assert browser.url == "/maintenance"
    assert browser.message.startswith("Down: everything, for 30m")
    assert "migration &lt;b&gt;42&lt;/b&gt;" in page
    assert "Nothing that is held runs" not in page, "not before the workers were asked"
    version = re.search(r'name="version" value="(\d+)"', page)
    assert version is not None
    page = browser.post("/maintenance/up", scope="all", version=version[1], ramp="5m")
    assert "Up: everything, slowly, over 5m" in browser.message
    assert page.count("ann") >= 2, "in the history"
    assert "Work resumes slowly" in page


def test_a_ramp_that_is_none_is_said_at_its_field(browser: Browser) -> None:
    for ramp, why in (("soon", "is not a duration"), ("9999999d", "longer than ten years")):
        down(browser)
        page = browser.post("/maintenance/up", scope="all", ramp=ramp)
        assert browser.status == 422
        assert re.search(rf'id="error-ramp" class="field-error">[^<]*{why}', page)
        assert "in maintenance" in page


def test_the_banner_of_other_pages_ends_it(browser: Browser) -> None:
    down(browser)
    browser.get("/")
    browser.post("/maintenance/up", back="/?state=failed")
    assert browser.url == "/?state=failed"
    assert "Up: everything." in browser.message


def test_queues_and_tasks_are_held_by_name_and_released_alone(browser: Browser) -> None:
    page = down(browser, what="some", queue=["mail"], tasks="shop.reindex\n")
    assert "queue mail" in page
    assert "task shop.reindex" in page
    version = re.search(r'name="version" value="(\d+)"', page)
    assert version is not None
    browser.post("/maintenance/up", scope="queue:mail", version=version[1])
    assert "Up: queue mail. Still held: task shop.reindex." in browser.message
    browser.post("/maintenance/up", scope="queue:mail", version=version[1])
    assert "the mode is another than when this page was made" in browser.message


@pytest.mark.parametrize(
    ("fields", "field", "why"),
    [
        ({"what": ""}, "what", "Choose what is held"),
        ({"what": "some"}, "what", "Name a queue or a task"),
        ({"what": "all", "queue": ["mail"]}, "what", "Queues or tasks are named"),
        ({"what": "some", "queue": ["mial"]}, "queues", "Did you mean mail"),
        ({"what": "some", "queue": ["alerts"]}, "queues", "is exempt"),
        ({"what": "some", "tasks": "shop.<b>"}, "tasks", "No task"),
        ({"until": "yesterday"}, "until", "is no time"),
        ({"until": "2020-01-01 10:00"}, "until", "is over"),
        ({"until": "9999999d"}, "until", "longer than ten years"),
        ({"reason": "x" * 501}, "reason", "at most 500"),
    ],
)
def test_errors_stand_at_their_fields(
    browser: Browser, fields: dict[str, str | list[str]], field: str, why: str
) -> None:
    page = down(browser, **fields)
    assert browser.status == 422
    assert re.search(rf'id="error-{field}" class="field-error">[^<]*{why}', page)
    assert "data-poll" not in page, "a poll would lose what was written"
    assert "Nothing is held" in browser.get("/maintenance")


def test_a_dry_run_changes_nothing(runtime: Runtime, browser: Browser) -> None:
    busy = (
        Busy("shop.reindex", "r1", "celery", 5.0, run=True),
        Busy("shop.mail", "m1", "mail", 5.0),
    )
    attend(runtime.store, busy=busy, longest={"shop.mail": 65.0})
    browser.get("/maintenance")
    page = browser.post("/maintenance/plan", what="all", until="2h", reason="why", tasks="")
    assert browser.url == "/maintenance?plan=1&what=all&until=2h&reason=why", "without the token"
    assert "Dry run: what would be held" in page
    assert "celery, mail" in page
    assert "for 2h" in page
    assert "1 task would be waited for, up to 1m" in page
    assert "stop at its next checkpoint" in page
    assert 'value="why"' in page
    assert "Nothing is held" in page
    assert not runtime.store.read_text("notices", "maintenance").version


def test_the_barrier_fills_up(runtime: Runtime, screen: Screen, browser: Browser) -> None:
    busy = (
        Busy("shop.reindex", "r1", "celery", 5.0, run=True),
        Busy("shop.mail", "m1", "mail", 5.0),
    )
    attend(runtime.store, "w1@host", version=0, paused=False, busy=busy)
    attend(runtime.store, "w2@host", version=0, paused=False)
    attend(runtime.store, "w3@host", version=0, paused=False, forced=True)
    page = down(browser)
    assert summary(page).startswith("0 of 2 workers paused")
    assert page.count("does not know of it yet") == 2
    assert 'href="/runs/r1"' in page
    assert "stops at its next checkpoint" in page
    assert "Forced, they ignore maintenance: w3@host" in page
    attend(runtime.store, "w2@host", version=LATEST)
    screen.snapshots.forget()
    assert summary(browser.get("/maintenance")).startswith("1 of 2 workers paused")
    attend(runtime.store, "w1@host", version=LATEST)
    screen.snapshots.forget()
    page = browser.get("/maintenance")
    assert summary(page).startswith("2 of 2 workers paused. Making sure")
    assert 'max="2" value="2"' in page


def test_a_mode_that_cannot_be_read_can_be_ended(runtime: Runtime, browser: Browser) -> None:
    runtime.store.write_text("notices", "maintenance", "{", expected=0)
    page = browser.get("/maintenance")
    assert browser.status == 200
    assert "cannot be read" in page
    browser.post("/maintenance/up", scope="all")
    assert "Nothing is held" in browser.get("/maintenance")


def test_without_the_permission_it_is_read_only(screen: Screen) -> None:
    browser = Browser(screen, can=frozenset((VIEW, OPERATE)))
    page = browser.get("/maintenance")
    assert "you do not have the permission" in page
    browser.post("/maintenance/down", what="all")
    assert browser.status == 403
    assert "Nothing is held" in browser.get("/maintenance")
