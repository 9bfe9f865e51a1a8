"""What pages of the web screen cost at the server, over HTTP, among many runs.

Each page is asked for with nothing read before, as after a change, and by a poll.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from statistics import median
from threading import Thread
from typing import Any

from benchmarks.figures import Figure
from benchmarks.stores import timed
from celery_graceful import Graceful
from celery_graceful.runtime import Runtime
from celery_graceful.web.shell.http_server import make_server
from celery_graceful.web.shell.wsgi import ScreenApplication
from celery_graceful.web.snapshots import Snapshots

#: Milliseconds: a page of the list, and a run. Calls of the store a second of an open page.
LIST_BOUND, RUN_BOUND, CALLS_BOUND = 100.0, 50.0, 1.0
ROUNDS, QUICK_ROUNDS = 40, 5
#: Seconds between two polls, and for how long a page is open, by the screen's clock.
EVERY, OPEN = 2.0, 120.0
#: Seconds after which everything is read anew.
LONG = 1000.0


class Clock:
    """Time passes only when a benchmark says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def measured(kind: str, runtime: Runtime, *, quick: bool) -> Iterator[Figure]:
    """The pages over the runs of a store, whose calls are counted in ``runtime.store.calls``."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    last = Graceful(runtime.app).runs.list(state="active").items[-1]
    pages = {
        "the list": ("/", LIST_BOUND),
        "what has ended": ("/?state=ended", LIST_BOUND),
        "a text": ("/?text=reindex", LIST_BOUND),
        "a run": (f"/runs/{last.id}", RUN_BOUND),
    }
    with _served(runtime) as (ask, clock):
        for name, (path, bound) in pages.items():
            what = f"{kind}: page of {name}"
            yield _fresh(what, ask, clock, path, bound, rounds)
            yield _polled(what, ask, path, bound, rounds)
            yield _open(what, ask, clock, path, runtime.store)


def _fresh(what: str, ask: Ask, clock: Clock, path: str, bound: float, rounds: int) -> Figure:
    """The page with everything read anew."""
    size = ask(path)[1] / 1024
    times = []
    for _ in range(rounds):
        clock.now += LONG
        times.append(timed(lambda: ask(path)))
    return _figure(what, times, bound, f"{size:.0f} KiB")


def _polled(what: str, ask: Ask, path: str, bound: float, rounds: int) -> Figure:
    """The page as the script asks for it, when nothing has changed."""
    tag = ask(path)[2]
    status = ask(path, tag)[0]
    times = [timed(lambda: ask(path, tag)) for _ in range(rounds)]
    return _figure(f"{what}, polled", times, bound, f"status {status}")


def _open(what: str, ask: Ask, clock: Clock, path: str, store: Any) -> Figure:
    """What it costs the store that the page stays open."""
    before = store.calls
    for _ in range(int(OPEN / EVERY)):
        clock.now += EVERY
        ask(path)
    calls = (store.calls - before) / OPEN
    note = f"open for {OPEN:g} s, polled every {EVERY:g} s"
    return Figure("screen", f"{what}, open", calls, calls, CALLS_BOUND, unit="calls/s", note=note)


def _figure(what: str, times: list[float], bound: float, note: str) -> Figure:
    return Figure(
        "screen", what, median(times), max(times), bound, unit="ms", rounds=len(times), note=note
    )


Ask = Callable[..., tuple[int, int, str]]


@contextmanager
def _served(runtime: Runtime) -> Iterator[tuple[Ask, Clock]]:
    """A server, and what asks it: status, bytes and ETag of a page."""
    application = Graceful(runtime.app).wsgi()
    assert isinstance(application, ScreenApplication)
    clock = Clock()
    application.screen.snapshots = Snapshots(clock)
    server = make_server("127.0.0.1", 0, application)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)

    def ask(path: str, tag: str = "") -> tuple[int, int, str]:
        connection.request("GET", path, headers={"If-None-Match": tag} if tag else {})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status in (200, 304), (path, answer.status, body[:200])
        return answer.status, len(body), answer.headers.get("ETag", "")

    try:
        yield ask, clock
    finally:
        connection.close()
        server.shutdown()
        thread.join()
        server.server_close()
