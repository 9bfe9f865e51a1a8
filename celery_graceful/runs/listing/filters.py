"""Which runs are wanted: what the store looks for, and what is tested here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from fnmatch import fnmatchcase

from celery_graceful.durations import parse
from celery_graceful.model.run.record import Outcome, Record, RunKey, State
from celery_graceful.model.run.verbs import QUEUED, public_state
from celery_graceful.model.run_options import readable_options
from celery_graceful.runs.plain_run import queue_of
from celery_graceful.runtime import Runtime
from celery_graceful.stores.tabs import ANY, Only, Tab

#: Live runs that are not paused.
ACTIVE = "active"
#: What ``state=`` may be.
STATES = (ACTIVE, QUEUED, *map(str, State), *map(str, Outcome))

_LIVE = frozenset(State) - {State.ENDED}
#: Where the runs of a state are, and what they have in common there.
_PLACES: Mapping[str, tuple[Tab, Only]] = {
    ACTIVE: (Tab.LIVE, Only(states=_LIVE - {State.PAUSED})),
    QUEUED: (Tab.LIVE, Only(states=frozenset({State.INTERRUPTED}))),
    **{str(state): (Tab.LIVE, Only(states=frozenset({state}))) for state in _LIVE},
    str(State.PAUSED): (Tab.PAUSED, ANY),
    str(State.ENDED): (Tab.ENDED, ANY),
    **{str(outcome): (Tab.ENDED, Only(outcome=outcome)) for outcome in Outcome},
    str(Outcome.FAILED): (Tab.FAILED, ANY),
}


@dataclass(frozen=True, slots=True)
class Filter:
    """Which runs are wanted; ``None`` and empty: any."""

    state: str | None = None
    #: A name, or a pattern such as ``shop.*``.
    task: str | None = None
    queue: str | None = None
    worker: str | None = None
    text: str = ""
    since: datetime | timedelta | str | None = None
    tag: str | None = None

    def tab(self) -> Tab | None:
        """Where all of them are; ``None``: they may be live or ended.

        Raises:
            ValueError: there is no such state.
        """
        if self.state is None:
            return None
        if self.state not in STATES:
            raise ValueError(f"state: {self.state!r} is none of {', '.join(STATES)}")
        return _PLACES[self.state][0]

    def only(self) -> Only:
        """What the store can look for."""
        common = ANY if self.state is None else _PLACES[self.state][1]
        return common._replace(
            task="" if self.task is None or _is_pattern(self.task) else self.task,
            worker=self.worker or "",
            extra="" if self.tag is None else _as_kept(self.tag),
            text=self.text,
            since=_moment(self.since) or 0.0,
            enveloped=self.queue is not None,
        )

    def at(self, now: Callable[[], float]) -> Filter:
        """The same with a moment for ``since``, where that says how long before ``now``.

        Raises:
            ValueError: ``since`` cannot be read.
        """
        if self.since is None or isinstance(self.since, datetime):
            return self
        began = max(0.0, now() - parse(self.since))  # no run is older, and no calendar endless
        return replace(self, since=datetime.fromtimestamp(began, timezone.utc))

    def test(self, runtime: Runtime) -> Callable[[RunKey, Record], bool]:
        """Whether a run is wanted."""
        since = _moment(self.since)
        text = self.text.lower()

        def wanted(key: RunKey, record: Record) -> bool:
            return (
                self._is_in_state(record)
                and (self.task is None or _fits(self.task, key.task))
                and (self.worker is None or _runs_on(record, self.worker))
                and (since is None or record.started_at >= since)
                and text in f"{key} {record.owner or ''}".lower()
                and (self.tag is None or _has_tag(record, self.tag))
                # Last, since the message has to be unpacked.
                and (self.queue is None or self.queue == queue_of(runtime, record))
            )

        return wanted

    def _is_in_state(self, record: Record) -> bool:
        if self.state == ACTIVE:
            return record.live and record.state is not State.PAUSED
        return self.state in (None, str(record.state), public_state(record))


def _is_pattern(task: str) -> bool:
    return any(sign in task for sign in "*?[")


def _fits(wanted: str, task: str) -> bool:
    return task == wanted or (_is_pattern(wanted) and fnmatchcase(task, wanted))


def _runs_on(record: Record, worker: str) -> bool:
    """Whether ``worker`` owns the run: its node name, or the name with that of its start."""
    owner = record.owner or ""
    return worker in (owner, owner.rpartition("/")[0])


def _has_tag(record: Record, tag: str) -> bool:
    return bool(record.options) and tag in readable_options(record.options).tags


def _as_kept(tag: str) -> str:
    """What a record has whose run has this tag: JSON in JSON (see ``stores/codec.py``)."""
    return json.dumps(json.dumps(tag))[1:-1]


def _moment(since: datetime | timedelta | str | None) -> float | None:
    if not isinstance(since, datetime):
        return None
    try:
        return since.timestamp()
    except (ValueError, OverflowError):  # a local time at either end of the calendar
        return 0.0 if since.year < 1970 else since.replace(tzinfo=timezone.utc).timestamp()
