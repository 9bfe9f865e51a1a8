"""A browser for the tests here, and windows in it that fail their test when anything goes wrong."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error

from tests.acceptance.browser.shop import PASSWORD, USER, Shop, open_shop
from tests.acceptance.browser.visitor import Visitor
from tests.servers.chromium import find_program, open_chromium
from tests.servers.fixtures import made_or_skipped
from tests.servers.valkey import Valkey

Visit = Callable[..., Visitor]

#: Browsers that work at the same time, in whichever process of the test run.
BROWSERS = 2
_VISITORS = pytest.StashKey[list[Visitor]]()
_PICTURES = pytest.StashKey[Path]()


@pytest.fixture(scope="package")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The browser of the tests here. It ends with the last of them: others run event loops."""
    program = made_or_skipped(find_program)
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with _one_of(BROWSERS, shared), open_chromium(program) as browser:
        yield browser


@pytest.fixture(scope="package")
def shop(valkey_server: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The scene: two workers for all tests here."""
    folder = tmp_path_factory.mktemp("shop")
    with open_shop(valkey_server.fresh_url(), folder, workers=2) as shop:
        yield shop


@pytest.fixture(scope="package")
def screen(shop: Shop) -> str:
    """The address of a screen that may change something, with a login."""
    return shop.serve_screen("--allow-actions", "--auth", f"{USER}:{shop.password_file()}")


@pytest.fixture(scope="package")
def admin(shop: Shop) -> str:
    """The address of the runs in a Django admin."""
    return shop.serve_admin()


#: Cookies of those who have logged in, by the address.
_SESSIONS: dict[str, Any] = {}


@pytest.fixture
def person(visit: Visit, screen: str) -> Visit:
    """A function that opens a window of somebody who has logged in; arguments as ``Visitor``."""

    def opened(address: str = screen, **options: Any) -> Visitor:
        visitor = visit(address, **options)
        if address not in _SESSIONS:
            log_in(visitor.open())
            _SESSIONS[address] = visitor.context.cookies()
        visitor.context.add_cookies(_SESSIONS[address])
        return visitor

    return opened


@pytest.fixture
def visit(chromium: Browser, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Visit]:
    """A function that opens a window at an address; arguments as ``Visitor``."""
    visitors: list[Visitor] = []
    request.node.stash[_VISITORS] = visitors
    request.node.stash[_PICTURES] = tmp_path

    def opened(address: str, **options: Any) -> Visitor:
        visitor = Visitor(chromium, address, **options)
        visitors.append(visitor)
        return visitor

    yield opened
    for visitor in visitors:
        visitor.close()


def log_in(visitor: Visitor, user: str = USER, password: str = PASSWORD) -> None:
    """Fill in the login that the page shows."""
    page = visitor.page
    page.get_by_label("User").first.fill(user)
    page.get_by_label("Password").fill(password)
    with page.expect_navigation():
        page.locator("form [type=submit]").first.click()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """A test fails for what went wrong in its windows, too."""
    done = yield
    if _VISITORS in item.stash:
        for visitor in item.stash[_VISITORS]:
            visitor.check()
    return done


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show where the pictures of a failed test are, and what the console said."""
    report = yield
    if report.failed and report.when == "call" and _PICTURES in item.stash:
        visitors = item.stash[_VISITORS]
        for number, visitor in enumerate(visitors):
            kept = _kept(visitor, item.stash[_PICTURES] / f"window-{number}")
            report.sections.append((f"window {number}", kept))
    return report


def _kept(visitor: Visitor, stem: Path) -> str:
    try:
        return visitor.keep(stem)
    except Error as exc:  # the browser itself may be what has failed
        return "\n".join([f"no picture: {exc}", *visitor.log])


@contextmanager
def _one_of(count: int, folder: Path) -> Iterator[None]:
    """Hold one of ``count`` places that all processes of the test run share."""
    while True:
        for number in range(count):
            with (folder / f"browser-{number}.lock").open("w") as place:
                try:
                    fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                yield
                return
        time.sleep(0.1)
