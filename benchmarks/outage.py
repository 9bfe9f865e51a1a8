"""Plain tasks while the store does not answer for two minutes, when runs take all slots."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from statistics import median

from benchmarks.app import MARKS
from benchmarks.figures import Figure
from benchmarks.queues import FIRST_COPY, copy, fill, put_first, url_of
from tests.harness import Worker, wait_for
from tests.harness.worker import forget_started
from tests.servers import Valkey

#: The least share of the rate before that plain tasks keep, at the median of all windows.
BOUND = 0.9
CHILDREN = 2
#: Seconds of work of a plain task; a slot does the same number each second, whatever else runs.
WORK = 0.02
#: One run comes after so many plain tasks.
PLAIN_PER_RUN = 20
#: The runs that take all slots when the store stops: so many items of so many seconds.
ITEMS, ITEM = 200, 0.1
#: Seconds before, during and after the outage, and of one window.
BEFORE, OUTAGE, AFTER, WINDOW = 20.0, 120.0, 20.0, 5.0
QUICK = (10.0, 20.0, 10.0)


def measure(*, quick: bool = False) -> list[Figure]:
    """Stop a worker's store while runs take all slots, and count what the worker does meanwhile."""
    before, outage, after = QUICK if quick else (BEFORE, OUTAGE, AFTER)
    groups = int((before + outage + after + 30) * CHILDREN / WORK / PLAIN_PER_RUN)
    try:
        with Valkey() as broker, Valkey() as store:
            group = [*[("pause", ("plain", WORK))] * PLAIN_PER_RUN, ("brief", ("run",))]
            fill(broker, group * groups)
            copy(broker, FIRST_COPY)
            with _worker(broker, store):
                wait_for(lambda: len(_marks(broker)) > 100, 60, "the first tasks")
                begun = time.monotonic()
                time.sleep(before)
                full = time.monotonic()
                put_first(
                    broker,
                    FIRST_COPY,
                    [("marked", (f"long-{n}", ITEMS, ITEM)) for n in range(CHILDREN)],
                )
                wait_for(lambda: _under_way(broker) == CHILDREN, 60, "all slots taken")
                store.freeze()
                frozen = time.monotonic()
                time.sleep(outage)
                runs_then = _count(broker, "run")
                store.thaw()
                thawed = time.monotonic()
                time.sleep(after)
                ended = time.monotonic()
                wait_for(lambda: _count(broker, "run") == groups, 300, "all runs", interval=1.0)
                wait_for(lambda: _ended(broker) == CHILDREN, 300, "the long runs", interval=1.0)
                done = _marks(broker)
    finally:
        forget_started()
    plain = [at for name, at in done if name == "plain"]
    rates = {
        "before": _rates(plain, begun, full),
        "during": _rates(plain, frozen, thawed),
        "after": _rates(plain, thawed, ended),
    }
    late = sum(1 for name, at in done if name == "run" and at > thawed)
    items = Counter(name for name, _ in done if name.startswith("long-"))
    first = min(at for at in plain if at > frozen + 0.1) - frozen
    waited = (
        f"{late} runs waited and were done afterwards; {runs_then} before; none lost; of"
        f" {CHILDREN * ITEMS} items of the runs in the slots {len(items)} done,"
        f" {items.total() - len(items)} repeated; first plain task after {first:.1f} s"
    )
    return [_figure(when, found, rates["before"], waited) for when, found in rates.items()]


def _worker(broker: Valkey, store: Valkey) -> Worker:
    args = ("-c", str(CHILDREN), "-l", "WARNING", "--without-gossip", "--without-mingle")
    env = {"BENCH_URL": url_of(broker, FIRST_COPY), "BENCH_STORE": store.url}
    return Worker("benchmarks.app", args=args, env=env)


def _marks(broker: Valkey) -> list[tuple[str, float]]:
    with broker.client(FIRST_COPY) as client:
        lines = [line.decode().split() for line in client.lrange(MARKS, 0, -1)]
    return [(name, float(at)) for name, at in lines]


def _count(broker: Valkey, what: str) -> int:
    return Counter(name for name, _ in _marks(broker))[what]


def _under_way(broker: Valkey) -> int:
    return len({name.split(":")[0] for name, _ in _marks(broker) if name.startswith("long-")})


def _ended(broker: Valkey) -> int:
    last = f":{ITEMS - 1}"
    return len({name for name, _ in _marks(broker) if name.endswith(last)})


def _rates(moments: Sequence[float], begin: float, end: float) -> list[float]:
    """Tasks per second in each window."""
    windows = int((end - begin) / WINDOW)
    return [
        sum(1 for at in moments if begin + n * WINDOW <= at < begin + (n + 1) * WINDOW) / WINDOW
        for n in range(windows)
    ]


def _figure(when: str, rates: Sequence[float], before: Sequence[float], note: str) -> Figure:
    share = median(rates) / median(before)
    return Figure(
        "outage",
        f"plain tasks a second {when}: {median(rates):.1f} (least {min(rates):.1f})",
        share,
        min(rates) / median(before),
        None if when == "before" else BOUND,
        at_most=False,
        rounds=len(rates),
        note=note if when == "after" else "",
    )
