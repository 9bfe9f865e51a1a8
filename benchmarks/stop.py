"""How soon a worker exits after SIGTERM with runs under way, against an idle one."""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGTERM
from statistics import median
from typing import Any

from benchmarks.figures import Figure, ratio_at_most
from benchmarks.queues import url_of
from tests.harness import Ledger, Worker, producer, wait_for
from tests.harness.worker import forget_started
from tests.servers import Valkey

EXIT_BOUND = 1.25
FIRST_BOUND = 1.5
PAUSE = 0.005
#: More items than any run gets done.
ITEMS = 1_000_000
CHILDREN = 2
ROUNDS, QUICK_ROUNDS = 10, 2


class Stage:
    """A worker to be stopped and one that waits, which consumes nothing until told to."""

    def __init__(self, app: Any, ledger: Ledger, stopped: Worker, waiting: Worker) -> None:
        self.app = app
        self.ledger = ledger
        self.stopped = stopped
        self._waiting = waiting

    def let_the_other_in(self) -> None:
        """Have the waiting worker consume as well."""
        name = f"{self._waiting.name}@localhost"
        answers = self.app.control.add_consumer(
            "celery", destination=[name], reply=True, timeout=10
        )
        assert answers, f"{name} does not answer"

    def occupy(self) -> None:
        """Two runs, one in each child, well under way."""
        for _ in range(CHILDREN):
            self.app.send_task("benchmarks.app.noted", (ITEMS, PAUSE))
        wait_for(lambda: self._busy(20), 60, self.stopped.log)

    def warm_up(self) -> None:
        """Have each child run a task, so that none is fresh."""
        children: set[Any] = set()
        while len(children) < CHILDREN:
            sent = [self.app.send_task("benchmarks.app.child", (0.1,)) for _ in range(CHILDREN)]
            children |= {result.get(timeout=60) for result in sent}

    def stop(self) -> tuple[float, float]:
        """SIGTERM; returns its time, and the seconds until the worker has exited."""
        began = time.monotonic()
        self.stopped.signal(SIGTERM)
        wait_for(lambda: self.stopped.exit_code is not None, 60, self.stopped.log, interval=0.001)
        return began, time.monotonic() - began

    def first_resumed(self, since: float) -> float:
        """Seconds from ``since`` to the first item that the waiting worker has done."""
        ours = {entry.pid for entry in self.ledger.entries() if entry.at < since}

        def resumed() -> list[float]:
            return [e.at for e in self.ledger.entries() if e.pid not in ours]

        return min(wait_for(resumed, 60, self._waiting.log)) - since

    def _busy(self, items: int) -> bool:
        done = Counter(entry.pid for entry in self.ledger.entries())
        return len(done) == CHILDREN and min(done.values()) >= items


def measure(*, quick: bool = False) -> list[Figure]:
    """Measure interleaved pairs, each with fresh workers."""
    idle: list[float] = []
    plain: list[float] = []
    busy: list[float] = []
    first: list[float] = []
    with Valkey() as server:
        for number in range(QUICK_ROUNDS if quick else ROUNDS):
            sides: list[Callable[[], None]] = [
                lambda: idle.append(_idle(server)),
                lambda: _take(_busy(server), busy, first),
                lambda: plain.append(_idle(server, plugin=False)),
            ]
            for side in sides if number % 2 else sides[::-1]:
                side()
            _tell(idle[-1], plain[-1], busy[-1], first[-1])
    return list(_figures(idle, plain, busy, first))


def _tell(idle: float, plain: float, busy: float, first: float) -> None:
    line = (
        f"  idle {idle:.2f} s, without plugin {plain:.2f} s, busy {busy:.2f} s, first {first:.2f} s"
    )
    print(line, file=sys.stderr, flush=True)


def _take(pair: tuple[float, float], busy: list[float], first: list[float]) -> None:
    busy.append(pair[0])
    first.append(pair[1])


def _figures(
    idle: list[float], plain: list[float], busy: list[float], first: list[float]
) -> Iterator[Figure]:
    # One iteration is allowed on top.
    done = [seconds - PAUSE for seconds in busy]
    yield _exit("exit with two runs / exit when idle", done, idle, EXIT_BOUND)
    yield _exit("… / exit of an idle worker without plugin", done, plain, None)
    yield _exit("idle, with / without plugin", idle, plain, None)
    yield Figure(
        "stop",
        "SIGTERM to the first resumed item",
        median(first),
        max(first),
        FIRST_BOUND,
        judged="worst",
        unit="s",
        rounds=len(first),
        note="the worst is judged",
    )


def _exit(what: str, ours: list[float], other: list[float], bound: float | None) -> Figure:
    ratios = [a / b for a, b in zip(ours, other, strict=True)]
    note = f"{median(ours):.2f} s against {median(other):.2f} s"
    return ratio_at_most("stop", what, ratios, bound, note=note)


def _idle(server: Valkey, *, plugin: bool = True) -> float:
    with staged(server, plugin=plugin) as stage:
        stage.warm_up()
        stage.let_the_other_in()
        return stage.stop()[1]


def _busy(server: Valkey) -> tuple[float, float]:
    with staged(server) as stage:
        stage.occupy()
        stage.let_the_other_in()
        began, spent = stage.stop()
        return spent, stage.first_resumed(began)


@contextmanager
def staged(server: Valkey, *, plugin: bool = True) -> Iterator[Stage]:
    """Both workers, ready, on an empty database."""
    url = url_of(server, 1)
    with server.client(1) as client:
        client.flushdb()
    with tempfile.TemporaryDirectory() as folder, producer(url, url) as app:
        ledger = Ledger(Path(folder) / "ledger")
        env = {
            "BENCH_URL": url,
            "BENCH_LEDGER": str(ledger.path),
            "BENCH_PLUGIN": "1" if plugin else "0",
        }
        two = ("-c", str(CHILDREN))
        try:
            with (
                Worker("benchmarks.app", args=two, env=env) as stopped,
                Worker("benchmarks.app", args=(*two, "-Q", "nobody"), env=env) as waiting,
            ):
                stopped.wait_ready(60)
                waiting.wait_ready(60)
                yield Stage(app, ledger, stopped, waiting)
        finally:
            forget_started()
