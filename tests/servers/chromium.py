"""Chromium, which tests drive with Playwright: where it is, and how it is started."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from tests.servers.process import MissingProgram

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
#: It talks to the servers of the tests and to nobody else; root may run it.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",  # small in containers
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)
#: Milliseconds: a machine that others use as well stands still for seconds now and then.
PATIENCE = 30_000


def find_program() -> str:
    """The path of Chromium.

    Raises:
        MissingProgram: there is none.
    """
    for name in PROGRAMS:
        if found := shutil.which(name):
            return found
    raise MissingProgram("chromium", "install the package chromium")


@contextmanager
def open_chromium(program: str) -> Iterator[Browser]:
    """A Chromium without a window, which ends with the block.

    Until then this thread counts as one with a running event loop: ``asyncio.run`` raises.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=[*FLAGS], timeout=2 * PATIENCE
        )
        try:
            yield browser
        finally:
            browser.close()
