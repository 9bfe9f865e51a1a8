"""Starting a run by a form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from html import unescape
from typing import Any

import pytest
from celery import Celery

from celery_graceful import IterableTask
from celery_graceful._celery.message.envelope import unpack
from celery_graceful.model.run.record import RunKey
from celery_graceful.model.run_options import read_options
from celery_graceful.runs.api import Runs
from celery_graceful.runtime import Runtime
from celery_graceful.web.dispatch import Screen
from celery_graceful.web.http import VIEW
from tests.unit.web.scene import Browser

HOSTILE = "<script>\"'&\u202e\x1b[31m"


@pytest.fixture
def app(app: Celery) -> Celery:
    def walk(
        since: date, size: int = 5, words: Any = None, *, cursor: Any = None, dry_run: bool = False
    ) -> Iterator[int]:
        """Walk over all <b>articles</b>.

        Args:
            since: of what day the first one is.
        """
        yield size

    task: Any = app.task(base=IterableTask, shared=False, name="shop.walk")
    task(walk)
    return app


@pytest.fixture
def runs(screen: Screen) -> Runs:
    return screen.runs


def hidden(page: str) -> dict[str, str]:
    """The hidden fields of the form."""
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page)
    return {name: unescape(value) for name, value in found if name != "form_token"}


def fill(browser: Browser, **given: str) -> str:
    """Open the form, and send it."""
    page = browser.get("/start?task=shop.walk")
    assert browser.status == 200
    sent = {f"{name[:3]}.{name[4:]}": value for name, value in given.items()}
    return browser.post("/start", **hidden(page), **sent)


def test_the_tasks_are_listed(browser: Browser) -> None:
    page = browser.get("/start")
    assert "shop.walk" in page
    assert "Walk over all &lt;b&gt;articles&lt;/b&gt;." in page
    assert 'href="/start?task=shop.walk"' in page


def test_a_form_has_a_field_for_each_argument(browser: Browser) -> None:
    page = browser.get("/start?task=shop.walk&arg.size=7&opt.cursor=41")
    assert 'type="date"' in page
    assert "of what day the first one is." in page
    assert re.search(r'name="arg.size" type="number" value="7"\s+step="1"', page)
    assert '<details id="options" open>' in page
    assert 'name="opt.dry_run"' in page


def test_a_form_starts_a_run_of_the_user(runtime: Runtime, browser: Browser, runs: Runs) -> None:
    page = fill(browser, arg_since="2026-11-30", arg_size="7", opt_pause_after="3", opt_tags="a,b")
    (run,) = runs.list().items
    assert browser.url == f"/runs/{run.id}"
    assert "Started: shop.walk" in browser.message
    assert run.id in page
    assert (run.task, run.state, run.pause_after) == ("shop.walk", "queued", 3)
    record = runtime.store.load(RunKey(run.task, run.id)).record
    assert record is not None
    assert read_options(record.options).by == "ann"
    sent = unpack(record.envelope).body
    assert b'"size": 7' in sent
    assert b"2026-11-30" in sent
    assert run.tags == ("a", "b")


def test_secrets_are_neither_shown_nor_put_back(app: Celery, browser: Browser) -> None:
    app.conf.graceful_mask = ["iban"]

    def pay(iban: int, api_key: str = "hunter2", *, cursor: Any = None) -> Iterator[int]:
        yield 1

    task: Any = app.task(base=IterableTask, shared=False, name="shop.pay")
    task(pay)
    page = browser.get("/start?task=shop.pay")
    assert page.count('type="password"') == 2
    assert "hunter2" not in page
    page = browser.post("/start", **hidden(page), **{"arg.iban": "DE4321", "arg.api_key": "s3cret"})
    assert browser.status == 422
    assert "It is no whole number." in page
    assert "DE4321" not in page
    assert "s3cret" not in page


def test_a_form_that_is_sent_twice_starts_one_run(browser: Browser, runs: Runs) -> None:
    fields = hidden(browser.get("/start?task=shop.walk"))
    sent = {**fields, "arg.since": "2026-11-30"}
    for _ in range(2):
        browser.get("/start?task=shop.walk")  # for its token
        browser.post("/start", **sent)
    assert "has started this run before" in browser.message
    (run,) = runs.list().items
    browser.get("/start")
    browser.get("/start?task=shop.walk")
    browser.post("/start", **{**sent, "arg.size": "8"})
    assert len(runs.list().items) == 2, "another run: it was changed before it was sent again"
    assert browser.url != f"/runs/{run.id}"


def test_errors_stand_at_their_fields_and_values_are_kept(browser: Browser, runs: Runs) -> None:
    page = fill(browser, arg_since="30.11.", arg_size=HOSTILE, arg_words="{", opt_limit="0")
    assert browser.status == 422
    assert "4 fields have to be corrected" in page
    assert "<script>" not in page.replace('<script src="', "")
    for number, text in ((1, "is not a date"), (2, "is not a whole number"), (3, "is not JSON")):
        assert re.search(rf'id="argument-{number}-error" class="field-error">[^<]*{text}', page)
        assert f'aria-describedby="argument-{number}-' in page
    assert 'value="30.11."' in page
    assert 'value="&lt;script&gt;&#34;&#39;&amp;\u202e\x1b[31m"' in page, "as it was written"
    assert page.count('aria-invalid="true"') == 4
    assert not runs.list().items


def test_what_only_the_start_can_refuse_is_at_its_field_too(browser: Browser) -> None:
    page = fill(browser, arg_since="2026-11-30", opt_once="no key")
    assert browser.status == 422
    assert "cannot be a key" in page
    page = fill(browser, arg_since="2026-11-30", opt_pause_after="5", opt_limit="5")
    assert "is not less than limit" in page
    page = fill(browser, arg_since="2026-11-30", opt_cursor=f'"{"x" * 9000}"')
    assert "at most 8192 are allowed" in page


def test_a_key_starts_one_run(browser: Browser, runs: Runs) -> None:
    for _ in range(2):
        fill(browser, arg_since="2026-11-30", opt_once="backfill-1")
    assert "A run of this key is under way" in browser.message
    assert len(runs.list().items) == 1


def test_a_form_from_before_a_change_of_the_code_is_refused(browser: Browser, runs: Runs) -> None:
    fields = {**hidden(browser.get("/start?task=shop.walk")), "fingerprint": "0" * 16}
    page = browser.post("/start", **{**fields, "arg.since": "2026-11-30"})
    assert browser.status == 409
    assert "since this form was made" in page
    assert 'value="2026-11-30"' in page
    assert not runs.list().items


@pytest.mark.parametrize("name", ["shop.none", "<script>", "celery.backend_cleanup", "x" * 5000])
def test_what_is_no_iterable_task_has_no_form(browser: Browser, name: str) -> None:
    page = browser.send("GET", "/start?task=" + name, browser.base.form)
    assert browser.status == 404
    assert "<script>" not in page.replace('<script src="', "")


def test_without_the_permission_nothing_is_started(screen: Screen, runs: Runs) -> None:
    browser = Browser(screen, can=frozenset((VIEW,)))
    page = browser.get("/start?task=shop.walk")
    assert "you do not have the permission" in page
    browser.post("/start", **{**hidden(page), "arg.since": "2026-11-30"})
    assert browser.status == 403
    assert not runs.list().items
