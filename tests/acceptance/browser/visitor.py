"""One browser window that remembers everything that went wrong in it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Request, Response

from tests.servers.chromium import PATIENCE

#: Impacts of what axe finds that no page may have.
SERIOUS = ("serious", "critical")
#: What a browser says of a request that a new page has made pointless.
_ABANDONED = "net::ERR_ABORTED"
_STATUS = re.compile(r"the server responded with a status of (\d+)")


class Visitor:
    """A window on the pages below one address.

    Args:
        browser: where the window opens.
        address: the URL of the first page, with a slash at its end.
        scripts: whether JavaScript runs.
        dark: whether the viewer asks for the dark scheme.
        width: of the window in pixels.
        zone: the viewer's time zone.
        examined: axe will look at the pages: it is a script that their policy would not allow.

    Attributes:
        page: Playwright's page.
        trouble: console errors, exceptions of scripts, dialogs, failed and refused requests.
    """

    def __init__(
        self,
        browser: Browser,
        address: str,
        *,
        scripts: bool = True,
        dark: bool = False,
        width: int = 1280,
        zone: str = "Europe/Berlin",
        examined: bool = False,
    ) -> None:
        self.context = browser.new_context(
            java_script_enabled=scripts,
            color_scheme="dark" if dark else "light",
            viewport={"width": width, "height": 800},
            timezone_id=zone,
            locale="en-GB",
            bypass_csp=examined,
            reduced_motion="reduce",
        )
        self.context.set_default_timeout(PATIENCE)
        self.address = address
        self.trouble: list[str] = []
        self.log: list[str] = []
        self.requests: list[str] = []
        self._allowed: frozenset[int] = frozenset()
        self.page = self.context.new_page()
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self._note(f"script failed: {error}"))
        self.page.on("requestfailed", self._on_failed)
        self.page.on("request", lambda request: self.requests.append(_shown(request)))
        self.page.on("response", self._on_response)
        self.page.on("dialog", self._on_dialog)

    # --- going places -------------------------------------------------------------------------

    def open(self, path: str = "") -> Visitor:
        """Go to the page at ``path`` below the address, and wait until it is loaded."""
        self.page.goto(urljoin(self.address, path))
        return self

    def refusals(self, *statuses: int) -> None:
        """Statuses that count as no trouble from now on, since the test provokes them."""
        self._allowed = frozenset(statuses)

    @property
    def path(self) -> str:
        """What follows the address in the page's URL, without the query."""
        return urlsplit(self.page.url).path.removeprefix(urlsplit(self.address).path)

    # --- what is there ------------------------------------------------------------------------

    def until(self, condition: Callable[[], object], what: str, timeout: float = 30) -> None:
        """Wait until ``condition()`` is true, and let the browser report meanwhile.

        Raises:
            AssertionError: ``timeout`` seconds went by; says ``what`` was waited for.
        """
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"waited {timeout:g} s in vain: {what}"
            self.page.wait_for_timeout(20)

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self.page.evaluate(script))

    def violations(self, impacts: Collection[str] = SERIOUS) -> list[str]:
        """What axe finds on the page, a line each with the elements concerned."""
        # Without preload: it would look for stylesheets beside the page and not beside their own.
        options = {"resultTypes": ["violations"], "preload": False}
        found = Axe().run(self.page, options=options).response["violations"]
        return [
            f"{one['id']} ({one['impact']}): {one['help']}: "
            + "; ".join(node["html"][:200] for node in one["nodes"][:5])
            for one in found
            if one["impact"] in impacts
        ]

    def check(self) -> None:
        """Nothing went wrong in this window.

        Raises:
            AssertionError: something did; says what.
        """
        assert not self.trouble, "\n".join([f"at {self.page.url}", *self.trouble])

    def keep(self, stem: Path) -> str:
        """Leave a picture and all messages of the console in files; returns what to read."""
        lines = [self.page.url, *self.log]
        stem.with_suffix(".console.log").write_text("\n".join(lines), errors="backslashreplace")
        self.page.screenshot(path=stem.with_suffix(".png"), full_page=True, timeout=10_000)
        return "\n".join([f"{stem}.png", *lines])

    def close(self) -> None:
        """Close the window."""
        self.context.close()

    # --- what goes wrong ----------------------------------------------------------------------

    def _note(self, what: str) -> None:
        self.trouble.append(what)
        self.log.append(what)

    def _on_console(self, message: ConsoleMessage) -> None:
        text = f"console {message.type}: {message.text}"
        refused = _STATUS.search(message.text)
        if message.type != "error" or (refused and int(refused[1]) in self._allowed):
            self.log.append(text)
        else:
            self._note(text)

    def _on_failed(self, request: Request) -> None:
        if request.failure != _ABANDONED:
            self._note(f"failed: {_shown(request)}: {request.failure}")

    def _on_response(self, response: Response) -> None:
        text = f"{response.status} {_shown(response.request)}"
        if response.status >= 400 and response.status not in self._allowed:
            self._note(text)
        else:
            self.log.append(text)

    def _on_dialog(self, dialog: Dialog) -> None:
        self._note(f"dialog: {dialog.message[:200]}")
        dialog.dismiss()


def _shown(request: Request) -> str:
    return f"{request.method} {request.url[:300]}"
