"""What the operator's screen costs among 10,000 live and 100,000 ended runs, at the server.

Each figure is one answer of ``graceful.runs``; the note says how many calls of the store it took.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

from benchmarks import watching, web_pages
from benchmarks.figures import Figure
from benchmarks.many_runs import ENDED, LIVE, MANY_TAGGED, RARE_TASK, TAG, fill
from benchmarks.stores import places, timed
from celery_graceful import Graceful
from celery_graceful.runs.api import Runs
from celery_graceful.runtime import Runtime

#: Milliseconds: a page of the list, and a run.
LIST_BOUND, RUN_BOUND = 100.0, 50.0
ROUNDS, QUICK_ROUNDS = 40, 5
QUICK_SHARE = 50
#: Pages that are followed to come deep into a listing.
DEEP = 40

Question = Callable[[Runs], object]


def measure(*, quick: bool = False, only: str = "") -> list[Figure]:
    """Ask each store the same questions."""
    figures: list[Figure] = []
    share = QUICK_SHARE if quick else 1
    for kind, runtime, _ in places(only):
        fill(runtime.store, LIVE // share, ENDED // share)
        counted = _Counted.of(runtime)
        runs = Graceful(runtime.app).runs
        for what, bound, ask in _questions(runs):
            figures.append(_asked(f"{kind}: {what}", bound, ask, runs, counted, quick=quick))
        figures += web_pages.measured(kind, runtime, quick=quick)
        figures += watching.measured(kind, runtime, quick=quick)
    return figures


def _asked(
    what: str, bound: float, ask: Question, runs: Runs, counted: _Counted, *, quick: bool
) -> Figure:
    rounds = QUICK_ROUNDS if quick else ROUNDS
    found = ask(runs)  # the first one connects, and heals an index
    before = counted.calls
    times = [timed(lambda: ask(runs)) for _ in range(rounds)]
    calls = (counted.calls - before) / rounds
    note = f"{calls:.3g} calls{_size(found)}"
    return Figure(
        "screen", what, median(times), max(times), bound, unit="ms", rounds=rounds, note=note
    )


def _size(found: Any) -> str:
    return f", {len(found)} runs" if hasattr(found, "items") else ""


def _questions(runs: Runs) -> Iterator[tuple[str, float, Question]]:
    yield "counts", LIST_BOUND, lambda runs: runs.counts()
    for what, filters in _LISTS.items():
        yield what, LIST_BOUND, lambda runs, filters=filters: runs.list(**filters)  # type: ignore[misc]
    for state in ("active", "ended"):
        after = _deep(runs, state)
        yield (
            f"{state}, page {DEEP}",
            LIST_BOUND,
            lambda runs, state=state, after=after: runs.list(state=state, after=after),  # type: ignore[misc]
        )
    last, live = runs.list(state="ended", limit=1).items[0], runs.list(state="active").items[-1]
    yield "a run that has ended", RUN_BOUND, lambda runs: runs.get(last.id)
    yield "a run with 20 executions", RUN_BOUND, lambda runs: runs.get(str(live))


#: The pages that are asked for: each tab, each filter, and filters that fit few runs or none.
_LISTS: dict[str, dict[str, Any]] = {
    "all": {},
    **{f"tab {state}": {"state": state} for state in ("active", "paused", "failed", "ended")},
    "state running": {"state": "running"},
    "state retrying, which is rare": {"state": "retrying"},
    "state cancelled, which is rare": {"state": "cancelled"},
    "a task": {"task": "shop.reindex"},
    "a task that is rare": {"task": RARE_TASK},
    "a task that nothing runs": {"task": "shop.unknown"},
    "queue": {"queue": "exports"},
    "a queue that has nothing": {"queue": "unknown"},
    "worker": {"worker": "celery@w7"},
    "text": {"text": "reindex"},
    "a text that is nowhere": {"text": "nowhere"},
    "a tag of many": {"tag": MANY_TAGGED},
    "a tag of one": {"tag": TAG},
    "since an hour ago": {"since": "1h"},
    "failed, of a task": {"state": "failed", "task": "shop.export"},
}


def _deep(runs: Runs, state: str) -> str | None:
    page = runs.list(state=state)
    for _ in range(DEEP - 2):
        if page.next is None:
            break
        page = runs.list(state=state, after=page.next)
    return page.next


class _Counted:
    """Counts the calls of a store."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.calls = 0

    @classmethod
    def of(cls, runtime: Runtime) -> _Counted:
        """Put between a runtime and its store."""
        counted = cls(runtime.store)
        runtime.__dict__["store"] = counted
        return counted

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return found(*args, **kwargs)

        return call
