"""Writes to the store, per run and second, at several item rates; counted by the server."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from benchmarks.figures import Figure
from benchmarks.queues import url_of
from celery_graceful.stores.redis import scripts
from tests.harness import Worker, producer
from tests.harness.worker import forget_started
from tests.servers import Valkey

BOUND = 1.2
SECONDS, QUICK_SECONDS = 25.0, 6.0
#: Items per second; 0: as fast as possible.
RATES = (10, 1000, 0)
NAMES = {
    scripts.SWAP.sha.decode(): "swap",
    scripts.CHECKPOINT.sha.decode(): "checkpoint",
    scripts.RENEW.sha.decode(): "renewal",
}

Written = tuple[float, str, str]


class Watch:
    """All writes to the store that the server has seen: its time, kind, arguments."""

    def __init__(self, client: redis.Redis) -> None:
        self.found: list[Written] = []
        self._client = client
        self._stopping = False

    def run(self, ready: threading.Event) -> None:
        """Collect until the mark of the end is seen."""
        with self._client.monitor() as monitor:  # type: ignore[no-untyped-call]
            ready.set()
            while True:
                seen: dict[str, Any] = monitor.next_command()
                words = str(seen["command"]).split(" ", 2)
                if words[:2] == ["ECHO", "benchmarks-end"]:
                    return
                if words[0].upper() in ("EVALSHA", "EVAL") and words[1] in NAMES:
                    self.found.append((float(seen["time"]), NAMES[words[1]], words[2]))


@contextmanager
def watched(server: Valkey) -> Iterator[list[Written]]:
    """Have the server tell of every command; complete after the block."""
    with server.client(timeout=60.0) as client, server.client() as other:
        watch, ready = Watch(client), threading.Event()
        thread = threading.Thread(target=watch.run, args=(ready,), daemon=True)
        thread.start()
        ready.wait(10)
        try:
            yield watch.found
        finally:
            other.echo("benchmarks-end")
            thread.join(10)


def measure(*, quick: bool = False) -> list[Figure]:
    """Run one task of each rate at the same time, in one worker."""
    seconds = QUICK_SECONDS if quick else SECONDS
    with Valkey() as server, watched(server) as found:
        runs = _work(url_of(server, 1), seconds)
    return [_figure(rate, run, steps, found) for (rate, run), steps in runs.items()]


def _work(url: str, seconds: float) -> dict[tuple[int, str], int]:
    """Run ids by rate, with the numbers of their items."""
    args = ("-c", str(len(RATES)), "-l", "INFO")
    try:
        with Worker("benchmarks.app", args=args, env={"BENCH_URL": url}) as worker:
            worker.wait_ready()
            with producer(url, url) as app:
                name = "benchmarks.app.paced"
                sent = {rate: app.send_task(name, (rate, seconds)) for rate in RATES}
                steps = {(r, s.id): int(s.get(timeout=seconds + 120)) for r, s in sent.items()}
            time.sleep(1)  # the run's end is written after its result
            return steps
    finally:
        forget_started()


def _figure(rate: int, run: str, steps: int, found: list[Written]) -> Figure:
    ours = [(at, kind) for at, kind, words in found if run in words]
    times = [at for at, kind in ours if kind == "swap"]
    if len(times) < 2:
        raise RuntimeError(f"the server saw only {ours} of run {run}")
    # From admission to finish; what comes after is the end of the run.
    began, ended = times[0], times[1]
    during = Counter(kind for at, kind in ours if began < at < ended)
    per_second = during.total() / (ended - began)
    print(f"  {rate}/s: {dict(during)} in {ended - began:.1f} s, {steps} items", file=sys.stderr)
    checkpoints, renewals, swaps = during["checkpoint"], during["renewal"], len(times)
    return Figure(
        "writes",
        f"{f'{rate:,} items' if rate else 'all items possible'} per second",
        per_second,
        per_second,
        BOUND,
        unit="/s",
        note=f"{checkpoints} checkpoints, {renewals} renewals in {ended - began:.1f} s, "
        f"{steps:,} items; {swaps} more writes begin and end the run",
    )
