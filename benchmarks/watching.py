"""What ``runs --watch`` costs in a terminal beside many runs: its share of a processor."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import psutil

from benchmarks.figures import Figure
from celery_graceful.runtime import Runtime
from tests.harness.terminals import Terminal

#: Per cent of a processor.
BOUND = 5.0
#: Seconds of each round, and how many there are.
SPAN, ROUNDS = 10.0, 3
QUICK_SPAN, QUICK_ROUNDS = 4.0, 1
#: A large terminal, which shows more runs than most.
SIZE = (200, 60)

_APP = """
from celery import Celery
from celery_graceful import Graceful

app = Celery("watched", broker="memory://")
app.conf.update(graceful_store={store!r}, graceful_namespace={namespace!r})
Graceful(app)
"""


def measured(kind: str, runtime: Runtime, *, quick: bool) -> Iterator[Figure]:
    """The share of a processor that the command takes while it draws a frame every two seconds."""
    rounds, span = (QUICK_ROUNDS, QUICK_SPAN) if quick else (ROUNDS, SPAN)
    for words in (("runs", "--watch"), ("runs", "--watch", "--state", "failed")):
        with TemporaryDirectory() as folder:
            text = _APP.format(store=runtime.store_url, namespace=runtime.namespace)
            (Path(folder) / "watched_app.py").write_text(text)
            with Terminal(Path(folder), "watched_app", words, SIZE) as terminal:
                terminal.until("items/s")
                before = terminal.text.count("\x1b[?2026h")
                shares = [_share(terminal, span) for _ in range(rounds)]
                frames = terminal.text.count("\x1b[?2026h") - before
                terminal.end()
        yield Figure(
            "screen",
            f"{kind}: {' '.join(words)}",
            median(shares),
            max(shares),
            BOUND,
            judged="worst",
            unit="% of a core",
            rounds=rounds,
            note=f"{frames} frames in {rounds * span:g} s",
        )


def _share(terminal: Terminal, span: float) -> float:
    """Per cent of a processor over so many seconds, while the terminal is read."""
    process = psutil.Process(terminal.process.pid)
    began, before = time.monotonic(), process.cpu_times()
    while (left := began + span - time.monotonic()) > 0:
        terminal.read(left)
    after, took = process.cpu_times(), time.monotonic() - began
    used = after.user + after.system - before.user - before.system
    return float(used / took * 100)
