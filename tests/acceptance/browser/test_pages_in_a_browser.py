"""Every page in a real browser: for screen readers, narrow, dark, by keyboard, and left open."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from celery_graceful.web.routes import ROUTES
from tests.acceptance.browser.conftest import Visit
from tests.acceptance.browser.shop import BAD, FAILING, SHORT, SLOW, Shop
from tests.acceptance.browser.visitor import Visitor
from tests.unit.hostile.texts import MARK, TEXTS

pytestmark = pytest.mark.slow

#: Every page that is made for people.
PAGES = [route.path.strip("/") for route in ROUTES if route.name]


@pytest.fixture(scope="module")
def ids(shop: Shop) -> list[str]:
    """A run under way, one that has failed, one with quarantined items."""
    found = [shop.slow(), shop.send(FAILING, "b1"), shop.send(BAD, "c.csv")]
    shop.wait_state(found[1], "failed")
    shop.wait_state(found[2], "completed")
    return found


@pytest.mark.parametrize("face", ["screen", "admin"])
@pytest.mark.parametrize(("dark", "width"), [(False, 1280), (True, 360)])
def test_pages_are_for_everybody(
    request: pytest.FixtureRequest, person: Visit, ids: list[str], face: str, dark: bool, width: int
) -> None:
    address = request.getfixturevalue(face)
    visitor = person(address, dark=dark, width=width, examined=True)
    for path in (*PAGES, "?state=all", f"start?task={SHORT}", *(f"runs/{one}" for one in ids)):
        visitor.open(path)
        assert not visitor.violations(), path
        assert visitor.overflow() <= 0, path


def test_an_open_page_is_left_alone_while_nothing_happens(
    shop: Shop, person: Visit, ids: list[str]
) -> None:
    visitor = person().open(f"runs/{ids[1]}")
    polls = [f"304 GET {visitor.page.url}"]
    visitor.until(lambda: polls[0] in visitor.log, "a poll that is answered with 304")
    # Hidden, it asks no more; seen again, it asks at once.
    visitor.page.evaluate(
        "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    visitor.page.wait_for_timeout(300)
    before = len(visitor.requests)
    visitor.page.wait_for_timeout(2500)
    assert len(visitor.requests) == before
    visitor.page.evaluate(
        "delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))"
    )
    visitor.until(lambda: len(visitor.requests) > before, "a poll")


def test_an_open_page_follows_its_run(shop: Shop, person: Visit) -> None:
    run_id = shop.slow("followed.csv")
    page = person().open(f"runs/{run_id}").page
    page.get_by_label("Reason, for the action log").first.fill("half a sen")
    shop.runs.pause(run_id, who="bob", reason="from the terminal")
    expect(page.locator("#main .badge").first).to_contain_text("paused", timeout=30_000)
    expect(page.locator("#main")).to_contain_text("from the terminal")
    shop.runs.cancel(run_id)


def test_the_keyboard(shop: Shop, person: Visit, ids: list[str]) -> None:
    page = person().open("?state=all").page
    page.keyboard.press("/")
    expect(page.get_by_label("Search").first).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("[data-row]").nth(1).locator("a[data-open]")).to_be_focused()
    page.keyboard.press("k")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    # Times are the viewer's own, with the whole of them at hand: Berlin is ahead of UTC.
    title = page.locator("[data-row] time").first.get_attribute("title") or ""
    local, utc = re.findall(r"(\d\d):\d\d:\d\d", title)
    assert (int(local) - int(utc)) % 24 in (1, 2), title
    address = page.locator("[data-row] a[data-open]").first.get_attribute("href") or ""
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.url.endswith(address)


@pytest.mark.parametrize("scripts", [True, False], ids=["", "without scripts"])
def test_what_others_wrote_does_nothing(shop: Shop, person: Visit, scripts: bool) -> None:
    texts = [text[:3000] for text in TEXTS.values() if text.isprintable() or "\x00" not in text]
    text = "".join(one for one in texts if one.isascii() or one.isprintable())
    run_id = shop.send(SLOW, text, note={text[:200]: [text]})
    shop.wait_run(run_id, lambda run: run.state == "running")
    shop.runs.pause(run_id, who="<b>eve</b>", reason=TEXTS["script"] + TEXTS["image"])
    shop.wait_state(run_id, "paused")
    visitor = person(width=360, scripts=scripts)
    for path in (f"runs/{run_id}", "?" + urlencode({"text": text[:500]}), "?state=paused"):
        visitor.open(path)
        assert visitor.page.locator(f"#main {MARK}, #main [{MARK}], #main script").count() == 0
        if scripts:
            assert visitor.overflow() <= 0, path
    shop.runs.cancel(run_id)


class _Elsewhere(http.server.BaseHTTPRequestHandler):
    target = ""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        form = (
            f"<!doctype html><html lang=en><title>x</title><link rel=icon href=data:,>"
            f"<form method=post action='{self.target}do'><input name=verb value=cancel>"
            "<input name=id value=x><button>Win a prize</button></form>"
        )
        self.wfile.write(form.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def elsewhere(screen: str) -> Iterator[str]:
    """Another site, with a form that is sent to the screen."""
    handler = type("Handler", (_Elsewhere,), {"target": screen})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_form_of_another_site_is_refused(visit: Visit, person: Visit, elsewhere: str) -> None:
    visitor: Visitor = person()
    visitor.page.goto(elsewhere)
    visitor.refusals(401, 403)
    with visitor.page.expect_navigation():
        visitor.page.get_by_role("button").click()
    expect(visitor.page.locator("#main")).to_contain_text("Refused")
