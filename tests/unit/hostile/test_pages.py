"""Every page shows what others wrote as text, whatever it is and wherever it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote

import pytest

from celery_graceful.maintenance.mode_changes import NOTICE
from celery_graceful.maintenance.workers import encode_report
from celery_graceful.model.maintenance.mode_text import encode_mode
from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.model.run.record import RunKey, State
from celery_graceful.runtime import Runtime
from celery_graceful.stores.base import NOTICES, REPORTS
from celery_graceful.web.dispatch import Screen
from celery_graceful.web.routes import ROUTES
from tests.unit.hostile.markup import Page
from tests.unit.hostile.records import (
    TASK,
    entry_of,
    fill,
    fill_with_json,
    mode_of,
    put,
    record_of,
    report_of,
)
from tests.unit.hostile.texts import MARK, TEXTS, each_json, each_text
from tests.unit.web.scene import Browser

#: Bytes of a page about runs whose texts have a megabyte each.
MUCH = 1_500_000


@pytest.fixture
def browser(runtime: Runtime) -> Browser:
    return Browser(Screen(runtime.app))


def pages() -> Iterator[str]:
    """The path of every page that needs nothing more."""
    for route in ROUTES:
        if route.method == "GET" and route.needs and not route.path.endswith("/*"):
            yield route.path


def check(browser: Browser, url: str, *statuses: int) -> str:
    """A page is there and holds nothing that does something; its text."""
    text = browser.get(url)
    assert browser.status in (statuses or (200,)), (browser.status, url[:200], text[:3000])
    assert len(text) < MUCH, (len(text), url[:200])
    assert browser.last is not None
    for name, value in browser.last.headers:
        assert "\n" not in name + value, (name, value)
        assert (name + value).isascii(), (name, value)
    if browser.last.header("content-type").startswith("text/html"):
        found = Page(text)
        assert not found.wrong, (url[:200], found.wrong[:5])
    return text


def address_of(key: RunKey) -> str:
    return f"/runs/?id={quote(str(key), safe='', errors='surrogatepass')}"


@each_text
def test_runs(browser: Browser, runtime: Runtime, texts: list[str]) -> None:
    keys = fill(runtime, texts)
    for path in pages():
        check(browser, path)
    for state in ("all", "paused", "failed", "ended"):
        check(browser, f"/?state={state}")
    for key, text in keys.items():
        url = address_of(key)
        if len(url) < 8000 and text != TEXTS["lone surrogates"]:
            assert "Action log" in check(browser, url)
        else:  # no browser can ask for it; its beginning names it as well
            check(browser, url, 400, 404)


@each_json
def test_what_should_be_json_and_is_not(
    browser: Browser, runtime: Runtime, texts: list[str]
) -> None:
    ids = fill_with_json(runtime, texts)
    check(browser, "/?state=all")
    for run_id in ids:
        check(browser, f"/runs/{run_id}")


@each_text
def test_quarantined_items(browser: Browser, runtime: Runtime, texts: list[str]) -> None:
    key = RunKey(TASK, "one")
    put(runtime, key, replace(record_of("x", State.RUNNING), steps=99))
    done = encode(Checkpoint(cursor=4, carry={}, steps=99, total=99, errors=2 * len(texts)))
    assert runtime.store.checkpoint(key, 7, done, 99, due_in=30).accepted
    entries = [*map(entry_of, texts), *texts]
    for number, entry in enumerate(entries):
        assert runtime.store.quarantine(key, 7, number, entry, keep=100)
    for after in range(-1, len(entries), 20):
        shown = check(browser, f"/runs/one?items_after={max(0, after)}")
        assert "Quarantined" in shown or after > len(texts) - 20


@each_text
def test_what_was_asked_for(browser: Browser, texts: list[str]) -> None:
    """Addresses come from links that others make."""
    for text in texts:
        given = quote(text[:5000], safe="", errors="surrogatepass")
        for url in (
            *(f"/?{name}={given}" for name in ("text", "queue", "worker", "tag", "since", "state")),
            f"/?after={given}",
            f"/runs/{given}",
            f"/runs/?id={given}",
            f"/start?task={given}&cursor={given}",
            f"/maintenance?queue={given}&task={given}",
            f"/{given}",
            f"/static/{given}",
        ):
            check(browser, url, 200, 400, 404, 409)


@each_text
def test_maintenance(browser: Browser, runtime: Runtime, texts: list[str]) -> None:
    for version, text in enumerate(texts):
        mode = encode_mode(mode_of(text[:1000]))
        runtime.store.write_text(NOTICES, NOTICE, mode, expected=version)
        browser.screen.snapshots.forget()
        for path in pages():
            check(browser, path)


@each_json
def test_a_mode_that_cannot_be_read(browser: Browser, runtime: Runtime, texts: list[str]) -> None:
    for version, text in enumerate(texts):
        runtime.store.write_text(NOTICES, NOTICE, text, expected=version)
        browser.screen.snapshots.forget()
        for path in pages():
            check(browser, path, 200, 500)
            assert "cannot be read" in browser.text or path not in ("/", "/maintenance")


@each_text
def test_workers(browser: Browser, runtime: Runtime, texts: list[str]) -> None:
    for number, text in enumerate(texts):
        report = encode_report(report_of(text[:1000]))
        runtime.store.write_text(REPORTS, f"{text[:200]}/{number}", report)
        runtime.store.write_text(REPORTS, f"other/{number}", text)
    for path in pages():
        check(browser, path)


@each_json
def test_a_report_that_cannot_be_read(browser: Browser, runtime: Runtime, texts: list[str]) -> None:
    for number, text in enumerate(texts):
        runtime.store.write_text(REPORTS, f"w{number}/x", text)
    for path in pages():
        check(browser, path)


def test_the_checks_find_what_they_look_for() -> None:
    for bad in (
        f"<{MARK}>",
        "<p onclick=x>",
        "<p style=x>",
        "<a href=javascript:x>",
        "<a href=//x>",
        "<script>x</script>",
        "<p>\u202e",
        "<p title='\x1b'>",
        "<iframe src=/>",
    ):
        assert Page(bad).wrong, bad
    assert not Page("<p title='&lt;b&gt;'>a <a href='/x?y=1'>b</a><script src=/x></script>").wrong
