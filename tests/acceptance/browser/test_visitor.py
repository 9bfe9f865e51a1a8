"""The windows of the other tests notice what goes wrong in a page."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.acceptance.browser.conftest import Visit

POLICY = "default-src 'none'; script-src 'self'; style-src 'self'"
FAULTS = {
    "inline-script": "<script>document.title = 'ran'</script>",
    "inline-style": "<p style='color: red'>text</p>",
    "inline-handler": "<img src='/missing' onerror='alert(1)'>",
    "elsewhere": "<script src='http://127.0.0.1:9/script.js'></script>",
    "missing": "<script src='/missing.js'></script>",
    "failing": "<script src='/failing.js'></script>",
    "dialog": "<script src='/dialog.js'></script>",
}
SCRIPTS = {"/failing.js": "throw new Error('on purpose')", "/dialog.js": "alert('hello')"}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        fault = FAULTS.get(self.path.strip("/"), "")
        script = SCRIPTS.get(self.path)
        known = self.path.strip("/") in ("", "wide", *FAULTS) or script
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "text/javascript" if script else "text/html")
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        wide = "<pre>" + "x" * 999 + "</pre>" if self.path == "/wide" else ""
        page = f"<!doctype html><html lang=en><title>a page</title><h1>a</h1>{fault}{wide}"
        self.wfile.write((script or page).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def pages() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_fault_of_a_page_is_noticed(visit: Visit, pages: str) -> None:
    visitor = visit(pages)
    for fault in FAULTS:
        visitor.open(fault)
        visitor.until(lambda: visitor.trouble, f"trouble at {fault}")
        with pytest.raises(AssertionError, match=fault):
            visitor.check()
        visitor.trouble.clear()


def test_a_page_without_fault_has_none(visit: Visit, pages: str) -> None:
    visitor = visit(pages).open()
    visitor.check()
    assert visitor.overflow() == 0
    assert visit(pages, width=360).open("wide").overflow() > 0


def test_axe_looks_at_a_page_in_spite_of_its_policy(visit: Visit, pages: str) -> None:
    visitor = visit(pages, examined=True).open("inline-handler")
    visitor.until(lambda: visitor.trouble, "the failed picture")
    assert any("image-alt" in one for one in visitor.violations())
    visitor.trouble.clear()


def test_without_scripts_none_runs(visit: Visit, pages: str) -> None:
    assert visit(pages, scripts=False).open("failing").page.title() == "a page"
