"""Who may ask, from where, and what every response is sent with."""

from __future__ import annotations

from dataclasses import replace

import pytest
from celery import Celery

from celery_graceful.runtime import Runtime
from celery_graceful.web.dispatch import Screen
from celery_graceful.web.http import VIEW, Fields, Request
from celery_graceful.web.login.accounts import Accounts
from celery_graceful.web.routes import ROUTES
from celery_graceful.web.safety.way_back import way_back
from celery_graceful.web.screen_options import ScreenOptions
from tests.unit.hostile.markup import Page
from tests.unit.web.scene import TASK, Browser, begin, quarantine, travelled


@pytest.fixture
def paused(runtime: Runtime, browser: Browser) -> Browser:
    """A browser that is about to pause a run."""
    begin(runtime, "one")
    browser.get("/")
    return browser


def requested(runtime: Runtime, browser: Browser) -> bool:
    return "asked to pause" in browser.get("/runs/one")


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "same-origin", "origin": "null"}, True),
        ({"sec-fetch-site": "cross-site", "origin": "http://localhost:5556"}, False),
        ({"origin": "http://localhost:5556"}, True),
        ({"origin": "https://localhost:5556"}, True),  # a proxy before it has the certificate
        ({"origin": "http://localhost:80"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://[::1"}, False),
        ({"referer": "http://localhost:5556/runs/one"}, True),
        ({"referer": "http://localhost:5556@evil.example/"}, False),
        ({}, True),
    ],
)
def test_changes_from_other_sites_are_refused(
    runtime: Runtime, paused: Browser, headers: dict[str, str], allowed: bool
) -> None:
    paused.headers = {"host": "localhost:5556", **headers}
    paused.post("/do", verb="pause", id="one")
    assert (paused.status == 200) is allowed
    assert requested(runtime, paused) is allowed


@pytest.mark.parametrize("token", ["", "0" * 32, "é"])
def test_a_form_without_the_token_is_refused(runtime: Runtime, paused: Browser, token: str) -> None:
    fields = Fields.of({"verb": "pause", "id": "one", "form_token": token})
    page = paused.send("POST", "/do", fields)
    assert paused.status == 403
    assert "Nothing was changed" in page
    assert not requested(runtime, paused)


def test_an_empty_cookie_and_an_empty_token_do_not_match(runtime: Runtime, paused: Browser) -> None:
    paused.cookies = {"graceful_form": ""}
    paused.send("POST", "/do", Fields.of({"verb": "pause", "id": "one", "form_token": ""}))
    assert paused.status == 403


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost", True),
        ("LOCALHOST:5556", True),
        ("127.0.0.1:1", True),
        ("[::1]:5556", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("", False),
    ],
)
def test_only_known_hosts_are_answered(screen: Screen, host: str, allowed: bool) -> None:
    request = Request("GET", "/", headers={"host": host}, can=frozenset((VIEW,)))
    response = screen.answer(request)
    assert (response.status == 200) is allowed
    assert screen.answer(replace(request, path="/health")).status == 200


def test_every_permission_is_needed(app: Celery, runtime: Runtime) -> None:
    begin(runtime, "one")
    viewer = Browser(Screen(app), "bob", frozenset((VIEW,)))
    assert "disabled" in viewer.get("/runs/one")
    viewer.post("/do", verb="pause", id="one")
    assert viewer.status == 403
    nobody = Browser(Screen(app), None, frozenset())
    nobody.get("/")
    assert nobody.status == 403


def test_every_response_has_the_security_headers(browser: Browser) -> None:
    for url in ("/", "/nowhere", "/static/graceful.css", "/health", "/runs/none"):
        browser.get(url)
        assert browser.last is not None
        policy = browser.last.header("content-security-policy")
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert browser.last.header("x-content-type-options") == "nosniff"
        assert browser.last.header("x-frame-options") == "DENY"


def test_no_page_needs_more_than_its_policy_allows(runtime: Runtime, browser: Browser) -> None:
    """No inline script or style, no handler, no address elsewhere: also in questions and errors."""
    quarantine(runtime, "one", travelled(runtime, "one", 1.0))

    def check(url: str, page: str) -> None:
        assert browser.last is not None
        assert browser.last.header("content-type").startswith("text/html"), url
        assert not Page(page).wrong, (url, Page(page).wrong)

    paths = [route.path for route in ROUTES if route.method == "GET" and route.name]
    start = f"/start?task={TASK}"
    for url in (*paths, start, "/?state=all", "/runs/one", "/nowhere", "/runs/none", "/?since=x"):
        check(url, browser.get(url))
    browser.get("/")
    question = browser.post("/do", verb="cancel", id=["one"], back="/")
    check("the question before a cancel", question)
    assert "Leave as they are" in browser.text
    check("an unknown verb", browser.post("/do", verb="explode", id="one"))
    check("a form with errors", browser.post("/start", task=TASK, **{"arg-limit": "x"}))
    check("a stale form", browser.send("POST", "/do", Fields.of({"verb": "pause", "id": "one"})))
    browser.screen.__dict__["runs"] = object()
    check("a defect", browser.get("/runs/one"))
    assert browser.status == 500
    browser.headers["host"] = "evil.example"
    check("another host", browser.get("/"))
    assert browser.status == 400


def test_the_login_needs_no_more(app: Celery) -> None:
    accounts = Accounts({"ann": "scrypt:1:1:1$salt$00"})
    login = Browser(Screen(app, ScreenOptions(accounts=accounts)), None, frozenset())
    for page in (login.get("/login"), login.post("/login", user="x" * 600, password="y")):
        assert not Page(page).wrong
        assert "Log in" in page


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ("/", "/"),
        ("/runs/one?x=1", "/runs/one?x=1"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nSet-Cookie: a=b", "/"),
        ("", "/"),
    ],
)
def test_the_way_back_is_within_the_screen(given: str, place: str) -> None:
    assert way_back(given) == place
