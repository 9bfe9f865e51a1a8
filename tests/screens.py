"""Takes the pictures of the docs: ``python -m tests.screens`` writes ``docs/_static/screen/``.

Every page of the web screen with real runs on a real worker, light and dark, wide and narrow, and
the list of runs in the Django admin. ``python -m tests.screens FOLDER`` writes all pages of both,
also errors and questions, into another folder: to look at them after a change.
"""

from __future__ import annotations

import base64
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from playwright.sync_api import Browser

from tests.acceptance.browser.conftest import log_in
from tests.acceptance.browser.shop import BAD, FAILING, SHORT, SLOW, USER, Shop, open_shop
from tests.acceptance.browser.visitor import Visitor
from tests.harness.forkserver import ROOT
from tests.servers.chromium import find_program, open_chromium
from tests.servers.valkey import Valkey

FOLDER = ROOT / "docs" / "_static" / "screen"
#: The first is on the page of the tour.
VARIANTS = ((False, 1280), (True, 1280), (False, 360), (True, 360))
#: Pages that are no part of the tour.
OTHERS = {
    "no_page": "nowhere",
    "no_run": "runs/00000000",
    "no_match": "?state=all&text=nothing+like+this",
    "start_list": "start",
}
#: What a picture shows of a long page, in pixels.
_HIGHEST = 2400


def main(given: str = "") -> None:
    """Start everything, take the pictures, and say how large they are."""
    to = Path(given) if given else FOLDER
    to.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="screens-"))
    with (
        Valkey() as valkey,
        open_chromium(find_program()) as chromium,
        open_shop(valkey.fresh_url(), folder) as shop,
    ):
        address = shop.serve_screen("--allow-actions", "--auth", f"{USER}:{shop.password_file()}")
        admin, pages = shop.serve_admin(), _pages(shop)
        if given:
            pages = {**pages, **OTHERS}
        in_admin = {f"admin_{name}": path for name, path in pages.items()}
        faces = ((address, pages), (admin, in_admin if given else {"admin": pages["runs"]}))
        for dark, width in VARIANTS:
            for face, wanted in faces:
                for name, picture in _pictures(chromium, face, wanted, dark, width):
                    path = to / f"{name}-{'dark' if dark else 'light'}-{width}.webp"
                    path.write_bytes(picture)
                    print(f"{len(picture):7,} {path}")
    total = sum(path.stat().st_size for path in to.iterdir())
    print(f"{total:,} bytes in all")


def _pages(shop: Shop) -> Mapping[str, str]:
    """The addresses of the pages by their names, with something to see on each."""
    slow, failed, bad = (
        shop.slow("orders.csv"),
        shop.send(FAILING, "2026-11"),
        shop.send(BAD, "c.csv"),
    )
    shop.send(SHORT, "2026-11-01")
    paused = shop.slow("orders-2025.csv")
    shop.runs.pause(paused, who="bob", reason="a look at the totals first")
    for run_id, state in ((paused, "paused"), (failed, "failed"), (bad, "completed")):
        shop.wait_state(run_id, state)
    shop.runs.pause(slow, who=USER, reason="the database is busy")
    shop.wait_state(slow, "paused")
    shop.runs.resume(slow, who=USER)
    before = shop.runs.get(slow).steps
    shop.wait_run(slow, lambda run: run.state == "running" and run.steps > before)
    shop.send(SLOW, "orders-2024.csv")
    shop.maintenance.down(
        queues=["celery"], reason="migration 0042", seconds=1800, who="bob", interrupt=False
    )
    return {
        "runs": "?state=all",
        "run": f"runs/{slow}",
        "failed": f"runs/{failed}",
        "quarantined": f"runs/{bad}",
        "start": f"start?task={SHORT}",
        "maintenance": "maintenance",
        "workers": "workers",
        "processes": "processes",
    }


def _pictures(
    chromium: Browser, address: str, pages: Mapping[str, str], dark: bool, width: int
) -> Iterator[tuple[str, bytes]]:
    visitor = Visitor(chromium, address, dark=dark, width=width)
    login = _picture(visitor.open())
    if "runs" in pages:
        yield "login", login
    log_in(visitor)
    for name, path in pages.items():
        yield name, _picture(visitor.open(path))
    visitor.close()


def _picture(visitor: Visitor) -> bytes:
    """The page as WebP, which is a third of PNG."""
    page = visitor.page
    # A traceback has the paths of this machine.
    page.evaluate("document.querySelectorAll('#traceback').forEach(one => { one.open = false; })")
    page.wait_for_timeout(200)  # times are shown in the viewer's zone by then
    width, height = page.evaluate(
        "[document.documentElement.clientWidth, document.documentElement.scrollHeight]"
    )
    session = visitor.context.new_cdp_session(page)
    clip = {"x": 0, "y": 0, "width": width, "height": min(height, _HIGHEST), "scale": 1}
    taken = session.send(
        "Page.captureScreenshot",
        {"format": "webp", "quality": 55, "captureBeyondViewport": True, "clip": clip},
    )
    return base64.b64decode(taken["data"])


if __name__ == "__main__":
    main(*sys.argv[1:])
