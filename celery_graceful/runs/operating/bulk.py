"""One verb for many runs: those that fit a filter, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from celery_graceful.errors import (
    CorruptRecord,
    CursorError,
    NotSent,
    RunRefused,
    UnknownRun,
)
from celery_graceful.runs.listing import pages
from celery_graceful.runs.listing.filters import Filter
from celery_graceful.runs.operating.changes import Change
from celery_graceful.runs.plain_run import Run, run_of
from celery_graceful.runtime import Runtime

#: Runs that are read at a time.
_AT_ONCE = 100
#: What concerns one run only: the others are changed all the same.
_OF_ONE = (RunRefused, UnknownRun, NotSent, CorruptRecord, CursorError)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a verb for one of many runs."""

    #: The run as it was listed.
    run: Run
    #: What was changed; ``None``: nothing, or its message was not accepted yet.
    change: Change | None = None
    #: Why not; empty: it was.
    refused: str = ""


def fitting(runtime: Runtime, wanted: Filter, most: int | None = None) -> Iterator[Run]:
    """The runs that fit a filter, in the order of listings; each once.

    Args:
        wanted: which ones.
        most: how many at most; ``None``: all.

    Raises:
        ValueError: the filter is wrong.
    """
    after: str | None = None
    left = most
    while left is None or left > 0:
        limit = _AT_ONCE if left is None else min(_AT_ONCE, left)
        found, after = pages.page(runtime, wanted, limit, after)
        yield from (run_of(runtime, *each) for each in found)
        left = None if left is None else left - len(found)
        if after is None:
            return


def change_each(runs: Iterator[Run], change: Callable[[Run], Change]) -> Iterator[Result]:
    """Change one run after the other; one that cannot be changed stops no other.

    Raises:
        StoreUnavailable: the store does not answer; what came before is changed.
    """
    for run in runs:
        try:
            yield Result(run, change(run))
        except _OF_ONE as exc:
            yield Result(run, refused=str(exc))
