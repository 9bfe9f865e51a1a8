"""A screen behind proxies: what ``X-Forwarded-*`` change, and who is believed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st

from celery_graceful.runtime import Runtime
from celery_graceful.web.dispatch import Screen
from celery_graceful.web.http import VIEW, Request
from celery_graceful.web.safety.forwarded import seen_by_browser, trusted_networks
from celery_graceful.web.screen_options import ScreenOptions
from tests.unit.web.scene import Browser, begin

TRUSTED = trusted_networks(["127.0.0.1", "10.42.0.0/16", "fd00::/8"])


def seen(peer: str = "127.0.0.1", **headers: str) -> Request:
    """What a screen sees, whose proxy passes on ``Host: ops.example``."""
    given = {f"x-forwarded-{name}": value for name, value in headers.items()}
    request = Request("GET", "/", headers={"host": "ops.example", **given}, address=peer)
    return seen_by_browser(request, TRUSTED)


@pytest.mark.parametrize(
    ("peer", "chain", "address"),
    [
        ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "1.2.3.4, 203.0.113.9", "203.0.113.9"),  # the client wrote the first one
        ("127.0.0.1", "1.2.3.4, 203.0.113.9, 10.42.0.7", "203.0.113.9"),
        ("127.0.0.1", "10.42.9.9, 203.0.113.9, 10.42.0.7", "203.0.113.9"),
        ("127.0.0.1", "10.42.0.8, 10.42.0.7", "10.42.0.8"),  # a client beside the proxies
        ("127.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("127.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("127.0.0.1", '"[2001:db8::1]"', "2001:db8::1"),
        ("127.0.0.1", "2001:db8::1,fd00::7", "2001:db8::1"),
        ("127.0.0.1", "fe80::1%eth0", "fe80::1"),
        ("127.0.0.1", "1.2.3.4, unknown", "127.0.0.1"),
        ("127.0.0.1", "1.2.3.4, \x1b[31m, 10.42.0.7", "10.42.0.7"),
        ("127.0.0.1", " , ,", "127.0.0.1"),
        ("::ffff:127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("fd00::1", "203.0.113.9", "203.0.113.9"),
        ("203.0.113.1", "127.0.0.1", "203.0.113.1"),
        ("", "127.0.0.1", ""),  # a Unix socket: nobody is known
        ("127.0.0.1.evil.example", "127.0.0.1", "127.0.0.1.evil.example"),
    ],
)
def test_the_client_is_who_came_to_the_outermost_trusted_proxy(
    peer: str, chain: str, address: str
) -> None:
    assert seen(peer, **{"for": chain}).address == address


@pytest.mark.parametrize(
    ("chain", "proto", "secure"),
    [
        ("203.0.113.9", "https", True),
        ("203.0.113.9", "HTTPS", True),
        ("203.0.113.9", "http", False),
        ("203.0.113.9", "", False),
        ("203.0.113.9", "https; drop", False),
        ("", "https", True),
        ("203.0.113.9", "https, http", False),  # the client wrote the first one
        ("203.0.113.9, 10.42.0.7", "https, http", True),  # TLS ends at the first of two proxies
        ("203.0.113.9, 10.42.0.7", "https", True),
        ("1.2.3.4, 203.0.113.9, 10.42.0.7", "http, https, http", True),
    ],
)
def test_https_is_what_the_outermost_trusted_proxy_says(
    chain: str, proto: str, secure: bool
) -> None:
    assert seen(**{"for": chain}, proto=proto).secure is secure


@pytest.mark.parametrize(
    ("headers", "host"),
    [
        ({}, "ops.example"),
        ({"host": "ops.shop.example"}, "ops.shop.example"),
        ({"host": "ops.shop.example:8443"}, "ops.shop.example:8443"),
        ({"host": "[2001:db8::1]:8443"}, "[2001:db8::1]:8443"),
        ({"host": "evil.example, ops.shop.example"}, "ops.shop.example"),
        ({"host": "a b"}, "ops.example"),
        ({"host": "http://ops.example/"}, "ops.example"),
        ({"port": "8443"}, "ops.example:8443"),
        ({"port": "443"}, "ops.example"),
        ({"port": "80"}, "ops.example"),
        ({"port": "http"}, "ops.example"),
        ({"host": "[2001:db8::1]", "port": "8443"}, "[2001:db8::1]:8443"),
        ({"host": "ops.example:1", "port": "8443"}, "ops.example:1"),
    ],
)
def test_the_host_is_the_one_that_the_browser_named(headers: dict[str, str], host: str) -> None:
    assert seen(**headers).host == host


@pytest.mark.parametrize(
    ("prefix", "mount"),
    [
        ("/runs", "/runs"), ("/ops/runs/", "/ops/runs"), ("", ""), ("/", ""), ("runs", ""),
        ("//evil.example", ""), ("/a//b", ""), ("/../x", ""), ("/a/..", ""), ("/..a", "/..a"),
        ('/"><script>', ""), ("/a\r\nSet-Cookie: a=b", ""), ("/;Domain=evil.example", ""),
        ("/evil, /runs", "/runs"), ("/" + "x" * 500, ""),
    ],
)  # fmt: skip
def test_the_prefix_is_a_path_and_nothing_else(prefix: str, mount: str) -> None:
    assert seen(prefix=prefix).mount == mount


NAMES = ("for", "proto", "host", "port", "prefix")


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=60)))
def test_nothing_is_believed_of_a_stranger_and_nothing_breaks(headers: dict[str, str]) -> None:
    stranger = seen("203.0.113.1", **headers)
    assert (stranger.address, stranger.secure) == ("203.0.113.1", False)
    assert (stranger.host, stranger.mount) == ("ops.example", "")
    known = seen(**headers)
    assert known.host.isprintable()
    assert known.mount == "" or known.mount.startswith("/")


# -- the whole screen -------------------------------------------------------------------------


@pytest.fixture
def browser(app: Celery) -> Browser:
    """Somebody at ``https://ops.example:8443``, whose proxy drops the port and speaks HTTP."""
    options = ScreenOptions(hosts=frozenset(("ops.example",)), trusted_proxies=TRUSTED)
    browser = Browser(Screen(app, options))
    browser.base = replace(browser.base, address="127.0.0.1")
    browser.headers = {
        "host": "ops.example",
        "x-forwarded-for": "203.0.113.9",
        "x-forwarded-proto": "https",
        "x-forwarded-port": "8443",
        "x-forwarded-prefix": "/runs",
    }
    return browser


def cookies(browser: Browser) -> list[str]:
    assert browser.last is not None
    return [value for name, value in browser.last.headers if name == "Set-Cookie"]


def test_cookies_and_links_are_those_of_the_outside(runtime: Runtime, browser: Browser) -> None:
    begin(runtime, "one")
    page = browser.get("/")
    (cookie,) = cookies(browser)
    assert cookie.endswith("; Path=/runs; HttpOnly; SameSite=Lax; Secure")
    assert 'href="/runs/runs/one"' in page
    browser.base = replace(browser.base, address="203.0.113.1")  # past the proxy
    browser.cookies.clear()
    assert 'href="/runs/one"' in browser.get("/")
    assert "Secure" not in cookies(browser)[0]


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://ops.example:8443", 303),
        ("https://ops.example", 403),
        ("http://ops.example:8443", 403),
        ("https://evil.example:8443", 403),
        ("null", 403),
    ],
)
def test_the_origin_is_compared_with_the_outside(
    runtime: Runtime, browser: Browser, origin: str, status: int
) -> None:
    begin(runtime, "one")
    browser.get("/")
    browser.headers["origin"] = origin
    form = {"verb": "pause", "id": "one", "one": "yes", "form_token": browser.token()}
    sent = browser.request_for("POST", "/do", type(browser.base.form).of(form))
    assert browser.screen.answer(sent).status == status


def test_the_port_that_browsers_leave_off_makes_no_difference(
    runtime: Runtime, browser: Browser
) -> None:
    begin(runtime, "one")
    browser.headers = {"host": "ops.example:443", "x-forwarded-proto": "https"}
    browser.get("/")
    browser.headers["origin"] = "https://ops.example"
    browser.post("/do", verb="pause", id="one", one="yes", back="/")
    assert browser.message.startswith("Pause")


@pytest.mark.parametrize(
    ("host", "forwarded", "status"),
    [
        ("ops.example", "ops.example", 200),
        ("evil.example", "ops.example", 400),  # a proxy that passes on what the client sent
        ("ops.example", "evil.example", 400),
    ],
)
def test_both_names_have_to_be_allowed(
    browser: Browser, host: str, forwarded: str, status: int
) -> None:
    headers = {**browser.headers, "host": host, "x-forwarded-host": forwarded}
    can = frozenset((VIEW,))
    request = Request("GET", "/", headers=headers, address="127.0.0.1", can=can)
    assert browser.screen.answer(request).status == status
