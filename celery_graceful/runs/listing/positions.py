"""Where a listing continues: what ``next`` of a page says, and ``after`` of the next call."""

from __future__ import annotations

import base64
import json
from typing import Any, NamedTuple

from celery_graceful.model.run.record import RunKey
from celery_graceful.stores.base import Listed, Place
from celery_graceful.stores.tabs import Tab

#: What reading a text of others may raise.
_UNREADABLE = (ValueError, TypeError, ArithmeticError, RecursionError)


class InTab(NamedTuple):
    """Behind a place of one tab."""

    tab: Tab
    behind: Place


class InAll(NamedTuple):
    """Behind the runs that were shown of all: live ones, then those that have ended."""

    #: The store's time of the first page: a run that ends later counts as live.
    began: float
    #: The last live run that was looked at, and all that were shown and began at the same time.
    live: Place | None = None
    beside: tuple[RunKey, ...] = ()
    #: The last one shown of those that have ended since, by the time it began.
    since: Place | None = None
    #: The last one looked at of those that had ended by then.
    ended: Place | None = None

    def behind_live(self, row: Listed) -> InAll:
        """Behind a live run that is shown."""
        there = self.passed_live(row.place)
        return there._replace(beside=(*there.beside, row.key))

    def passed_live(self, place: Place) -> InAll:
        """Behind a live run that is not shown."""
        beside = self.beside if self.live is not None and self.live[0] == place[0] else ()
        return self._replace(live=place, beside=beside)

    def has_shown(self, row: Listed) -> bool:
        """Whether a run that has ended since was shown, while it was live or after."""
        if self.since is not None and row.place <= self.since:
            return True
        return self.live is not None and (row.at < self.live[0] or row.key in self.beside)


def written(position: InTab | InAll) -> str:
    """The position as text, for URLs."""
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def read_in_tab(text: str, tab: Tab) -> Place:
    """The place in a text.

    Raises:
        ValueError: it is not what :func:`written` makes of a position in this tab.
    """
    try:
        name, behind = json.loads(base64.urlsafe_b64decode(text))
        place = _place(behind)
        if name != tab or place is None:
            raise ValueError("it belongs to another listing")
    except _UNREADABLE as exc:
        raise _wrong(text) from exc
    return place


def read_in_all(text: str) -> InAll:
    """The position in a text.

    Raises:
        ValueError: it is not what :func:`written` makes of a position in the list of all runs.
    """
    try:
        began, live, beside, since, ended = json.loads(base64.urlsafe_b64decode(text))
        keys = tuple(RunKey(str(task), str(id)) for task, id in beside)
        return InAll(float(began), _place(live), keys, _place(since), _place(ended))
    except _UNREADABLE as exc:
        raise _wrong(text) from exc


def _wrong(text: str) -> ValueError:
    return ValueError(
        f"after: {text!r:.200} is not what the page before gave as `next`, with the same filters"
    )


def _place(given: Any) -> Place | None:
    if given is None:
        return None
    at, (task, id) = given
    return float(at), RunKey(str(task), str(id))
