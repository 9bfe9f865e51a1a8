"""Finding runs in the store: by the first characters of an id, and page by page."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import NamedTuple

from celery_graceful.durations import format_seconds, parse
from celery_graceful.errors import AmbiguousRun, UnknownRun
from celery_graceful.model.run.record import Outcome, Record, RunKey, State
from celery_graceful.runs.plain_run import queue_of, state_of
from celery_graceful.runtime import Runtime

#: The most runs that are read for a listing: those that are due first.
MOST_LISTED = 10_000
#: Runs that are named where an id was shortened too much.
_CANDIDATES = 10
#: The most ids that are read for a prefix.
_MOST_NAMED = 250

#: What ``state=`` may be.
STATES = (*map(str, State), *map(str, Outcome))


#: Ids that are read for each prefix when ids are shortened. Where so many begin with it, the id
#: stays whole.
AT_MOST = 50
#: Fewer characters than this are easily mistaken for those of another run.
_LEAST = 8
#: For more runs than this the store is not asked: their ids stay whole.
_MOST_ASKED = 500
#: No run has this key; loading it gives the store's time.
_NOBODY = RunKey("", "")


class Found(NamedTuple):
    """A run's record, and the store's time when it was read."""

    key: RunKey
    record: Record
    now: float


# -- one run ----------------------------------------------------------------------------------


def find(runtime: Runtime, text: str) -> Found:
    """The run that ``text`` names: a task id, or ``task[id]`` as in the logs.

    The id may be shortened to its first characters, as long as no other begins so. An id that is
    given in full is that run's, whatever others begin with it.

    Raises:
        UnknownRun: there is none.
        AmbiguousRun: there are several; the message names them.
        StoreUnavailable: the store did not answer.
        CorruptRecord: its record cannot be read.
    """
    found = _named(runtime, text)
    if not found:
        raise UnknownRun(
            f"no run {text!r} is known to the app {runtime.namespace!r}. Runs are known from the"
            " moment a worker first starts them until"
            f" {format_seconds(runtime.settings.run_retention)} after their end."
        )
    if len(found) > 1:
        raise AmbiguousRun(_ambiguous(text, found))
    return found[0]


def _named(runtime: Runtime, text: str) -> list[Found]:
    """The runs that ``text`` may mean, up to one more than are named."""
    task, bracket, rest = text.partition("[")
    if bracket and rest.endswith("]"):
        run_id, tasks = rest[:-1], [task]
    else:
        registered = runtime.app.tasks.items()
        run_id = text
        tasks = [name for name, task in registered if hasattr(task, "build_enumerator")]
    found = _load(runtime, [RunKey(name, run_id) for name in tasks])
    if found or not run_id:
        return found
    keys = runtime.store.named(run_id, _MOST_NAMED)
    if bracket:
        keys = [key for key in keys if key.task == task]
    exact = [key for key in keys if key.id == run_id]
    return _load(runtime, (exact or keys)[: _CANDIDATES + 1])


def _load(runtime: Runtime, keys: list[RunKey]) -> list[Found]:
    loaded = [(key, runtime.store.load(key)) for key in keys]
    return [Found(key, at.record, at.now) for key, at in loaded if at.record is not None]


def _ambiguous(text: str, found: list[Found]) -> str:
    shown = "\n".join(f"{each.key} ({state_of(each.record)})" for each in found[:_CANDIDATES])
    number = f"more than {_CANDIDATES}" if len(found) > _CANDIDATES else str(len(found))
    more = "\n…" if len(found) > _CANDIDATES else ""
    return f"{text!r} fits {number} runs; write more of the id, or one of these:\n{shown}{more}"


# -- ids by their first characters -----------------------------------------------------------


def shortened(ids: Sequence[str], named: Callable[[str], Sequence[str]]) -> list[str]:
    """The ids by prefixes, each of which no other id of the store begins with.

    Args:
        ids: of the runs that are shown.
        named: up to :data:`AT_MOST` ids of the store that begin with a prefix. One that two tasks
            have is there twice, and stays whole.
    """
    if len(ids) > _MOST_ASKED:
        return list(ids)
    return [_prefix(one, named(one[:_LEAST])) for one in ids]


def _prefix(one: str, similar: Sequence[str]) -> str:
    if len(similar) >= AT_MOST or similar.count(one) > 1:
        return one
    common = max((_common(one, other) for other in similar if other != one), default=0)
    return one[: max(_LEAST, common + 1)]


def _common(one: str, other: str) -> int:
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


# -- many runs --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Filter:
    """Which runs are wanted; ``None`` and empty: any."""

    state: str | None = None
    task: str | None = None
    queue: str | None = None
    worker: str | None = None
    text: str = ""
    since: datetime | timedelta | str | None = None

    def test(self, runtime: Runtime, now: float) -> Callable[[RunKey, Record], bool]:
        """Whether a run is wanted at ``now``, the store's time.

        Raises:
            ValueError: there is no such state, or ``since`` cannot be read.
        """
        if self.state is not None and self.state not in STATES:
            raise ValueError(f"state: {self.state!r} is none of {', '.join(STATES)}")
        since = _moment(self.since, now)
        text = self.text.lower()

        def wanted(key: RunKey, record: Record) -> bool:
            return (
                self.state in (None, str(record.state), state_of(record))
                and self.task in (None, key.task)
                and (self.worker is None or _runs_on(record, self.worker))
                and (since is None or record.started_at >= since)
                and text in f"{key} {record.owner or ''}".lower()
                # Last, since the message has to be unpacked.
                and (self.queue is None or self.queue == queue_of(runtime, record))
            )

        return wanted


def _runs_on(record: Record, worker: str) -> bool:
    """Whether ``worker`` owns the run: its node name, or the name with that of its start."""
    owner = record.owner or ""
    return worker in (owner, owner.rpartition("/")[0])


def _moment(since: datetime | timedelta | str | None, now: float) -> float | None:
    if since is None:
        return None
    return since.timestamp() if isinstance(since, datetime) else now - parse(since)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a run stands in a listing that began at ``began``, by what no longer changes.

    A run that has ended since counts as live, where it may have been shown already. So a page
    neither repeats nor misses a run, whatever happens between two pages.
    """

    began: float

    def of(self, found: Found) -> tuple[float, float, str, str]:
        key, record, _ = found
        ended = 0.0 if record.live else record.ended_at or 0.0
        if ended and ended <= self.began:
            return (1.0, -ended, *key)  # the last ended first
        return (0.0, record.started_at, *key)  # the oldest first


def page(
    runtime: Runtime, wanted: Filter, limit: int, after: str | None
) -> tuple[Sequence[Found], str | None]:
    """The next ``limit`` runs after a place in the listing, and the place to continue after.

    Raises:
        ValueError: ``after`` is no such place, or the filter is wrong.
        StoreUnavailable: the store did not answer.
    """
    if limit < 1:
        raise ValueError(f"limit: {limit!r} is less than 1")
    began, last = (None, None) if after is None else _read_place(after)
    now = runtime.store.load(_NOBODY).now  # before the listing: what ends during it counts as live
    entries = runtime.store.runs(MOST_LISTED)
    place, test = _Place(now if began is None else began), wanted.test(runtime, now)
    found = [Found(key, record, now) for key, record in entries if test(key, record)]
    if last is not None:
        found = [each for each in found if place.of(each) > last]
    found.sort(key=place.of)
    if len(found) <= limit:
        return found, None
    return found[:limit], _write_place(place.began, place.of(found[limit - 1]))


def _write_place(began: float, last: tuple[float, float, str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps([began, *last]).encode()).decode()


def _read_place(text: str) -> tuple[float, tuple[float, float, str, str]]:
    try:
        began, ended, moment, task, run_id = json.loads(base64.urlsafe_b64decode(text))
        return float(began), (float(ended), float(moment), str(task), str(run_id))
    except (ValueError, TypeError) as exc:
        raise ValueError(f"after: {text!r} is not what the page before gave as `next`") from exc
