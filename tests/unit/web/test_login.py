"""The screen's own login: files, sessions, attempts."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest
from celery import Celery
from werkzeug.security import generate_password_hash

from celery_graceful.errors import SettingsError
from celery_graceful.runtime import Runtime
from celery_graceful.web.dispatch import Screen
from celery_graceful.web.login.accounts import LASTS, Accounts
from celery_graceful.web.login.attempts import Attempts
from celery_graceful.web.login.password_files import read_accounts
from celery_graceful.web.screen_options import ScreenOptions
from tests.unit.web.scene import Browser, begin

#: A cheap one: these tests are not about its strength.
HASH = f"pbkdf2:sha256:1$salt${hashlib.pbkdf2_hmac('sha256', b'right', b'salt', 1).hex()}"


def browser_of(accounts: Accounts, app: Celery) -> Browser:
    return Browser(Screen(app, ScreenOptions(accounts=accounts)), None, frozenset())


@pytest.fixture
def accounts() -> Accounts:
    return Accounts({"ann": HASH, "bob": HASH}, actions=True)


@pytest.fixture
def browser(app: Celery, accounts: Accounts) -> Browser:
    return browser_of(accounts, app)


def log_in(browser: Browser, password: str = "right", user: str = "ann", then: str = "/") -> str:
    browser.get("/login")
    return browser.post("/login", user=user, password=password, next=then)


def test_a_page_asks_for_the_login_and_comes_back(runtime: Runtime, browser: Browser) -> None:
    begin(runtime, "one")
    browser.get("/runs/one?x=1")
    assert browser.url == "/login?next=%2Fruns%2Fone%3Fx%3D1"
    page = browser.post("/login", user="ann", password="right", next="/runs/one?x=1")
    assert browser.url == "/runs/one?x=1"
    assert browser.message == "Logged in as ann."
    assert "Log out" in page
    browser.post("/do", verb="pause", id="one", one="yes", back="/runs/one")
    assert "Pause: asked" in browser.message


@pytest.mark.parametrize("then", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_the_login_leads_nowhere_else(browser: Browser, then: str) -> None:
    log_in(browser, then=then)
    assert browser.url == "/"


def test_wrong_passwords_and_users_look_the_same(browser: Browser) -> None:
    first = log_in(browser, "wrong")
    assert browser.status == 401
    second = log_in(browser, "right", "eve")
    assert browser.status == 401
    assert "User or password is wrong" in first
    assert first.replace("ann", "eve") == second


def test_attempts_are_slowed_down(app: Celery) -> None:
    now = [0.0]
    accounts = Accounts({"ann": HASH}, attempts=Attempts(lambda: now[0]))
    browser = browser_of(accounts, app)
    for _ in range(3):
        log_in(browser, "wrong")
        assert browser.status == 401
    log_in(browser)
    assert browser.status == 429
    assert browser.last is not None
    assert browser.last.header("retry-after") == "2"
    now[0] += 2
    log_in(browser)
    assert browser.status == 200
    for _ in range(40):
        log_in(browser, "wrong", "bob")
        now[0] += 1000
    now[0] -= 1000
    assert 29 < accounts.attempts.wait("user bob") <= 30


def test_others_are_not_slowed_down_by_name() -> None:
    attempts = Attempts(lambda: 0.0)
    for _ in range(10):
        attempts.failed("user ann", "address 10.0.0.1")
    assert attempts.wait("user bob", "address 10.0.0.2") == 0
    assert attempts.wait("user bob", "address 10.0.0.1") > 0


def test_a_session_ends_with_the_logout_also_for_a_copy(browser: Browser) -> None:
    log_in(browser)
    stolen = dict(browser.cookies)
    browser.post("/logout")
    assert browser.url == "/login"
    browser.cookies = stolen
    browser.get("/")
    assert browser.url.startswith("/login")


def test_a_session_ends_with_the_password_and_with_time(
    app: Celery, accounts: Accounts, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(browser)
    changed = Accounts({"ann": generate_password_hash("new", "pbkdf2:sha256:1")})
    changed.secret = accounts.secret
    other = browser_of(changed, app)
    other.cookies = dict(browser.cookies)
    other.get("/")
    assert other.url == "/login"
    browser.get("/")
    assert browser.url == "/"
    later = time.time() + LASTS + 10
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: later)
    browser.get("/")
    assert browser.url == "/login"


def test_sessions_of_another_key_do_not_count(app: Celery, browser: Browser) -> None:
    log_in(browser)
    other = browser_of(Accounts({"ann": HASH}), app)
    other.cookies = {**browser.cookies}
    other.get("/")
    assert other.url == "/login"
    for forged in ("", "x", "a.b.c", "W10.aaaa.bbbb", "." * 3000):
        other.cookies["graceful_session"] = forged
        other.get("/")
        assert other.url == "/login"


def test_cookies_are_for_this_screen_and_not_for_scripts(browser: Browser) -> None:
    from dataclasses import replace

    browser.base = replace(browser.base, secure=True, mount="/ops")
    browser.get("/login")
    assert browser.last is not None
    header = browser.last.header("set-cookie")
    for part in ("HttpOnly", "SameSite=Lax", "Secure", "Path=/ops"):
        assert part in header


def test_without_actions_the_login_only_shows(app: Celery, runtime: Runtime) -> None:
    begin(runtime, "one")
    accounts = Accounts({"ann": HASH}, actions=False)
    browser = browser_of(accounts, app)
    log_in(browser)
    browser.get("/runs/one")
    browser.post("/do", verb="pause", id="one", one="yes")
    assert browser.status == 403


def test_a_poll_after_the_session_is_told_so(browser: Browser) -> None:
    browser.get("/", **{"x-graceful-poll": "1"})
    assert browser.status == 401


def test_a_screen_without_a_login_has_no_page_for_it(app: Celery) -> None:
    browser = Browser(Screen(app))
    browser.get("/login")
    assert browser.status == 404


def test_accounts_are_read_from_files(tmp_path: Path) -> None:
    one, several = tmp_path / "one", tmp_path / "several"
    one.write_text(f"# the hash of ann\n{HASH}\n")
    several.write_text(f"bob:{HASH}\n\n# more\ncid:{HASH}\n")
    assert read_accounts([f"ann:{one}", str(several)]) == {"ann": HASH, "bob": HASH, "cid": HASH}


@pytest.mark.parametrize(
    ("given", "text", "why"),
    [
        ("ann:{}", "secret", "this is no hash"),
        ("ann:{}", "", "has 0 lines"),
        ("{}", "no colon", "write USER:HASH"),
        ("{}", HASH, "this is no hash"),
        ("{}", "ann:secret", "this is no hash"),
        ("{}", "", "names no user"),
    ],
)
def test_a_wrong_file_is_refused_without_quoting_it(
    tmp_path: Path, given: str, text: str, why: str
) -> None:
    file = tmp_path / "file"
    file.write_text(text)
    with pytest.raises(SettingsError, match=why) as caught:
        read_accounts([given.format(file)])
    assert "secret" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_accounts([f"ann:{tmp_path / 'none'}"])
