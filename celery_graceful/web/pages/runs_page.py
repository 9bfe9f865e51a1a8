"""``/``: the runs, by tabs and filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery_graceful.web.http import OPERATE, Response
from celery_graceful.web.pages import failure
from celery_graceful.web.rendering.shown_runs import run_rows, situation_for
from celery_graceful.web.rendering.shown_verbs import BULK, DANGER, LABELS

if TYPE_CHECKING:
    from celery_graceful.runs.plain_run import Page, Run
    from celery_graceful.stores.tabs import Counts
    from celery_graceful.web.page_context import Context

#: Runs on a page.
AT_ONCE = 50
#: Seconds that a listing and the counts of the tabs are shown without a look at the store: together
#: with the rest of the page, an open one costs the store less than one call a second.
LASTS = 4.5
#: A search reads more, in several calls.
SEARCH_LASTS = 6.0
COUNTS_LAST = 15.0
#: The tabs by their states, and the states that are parts of them.
TABS = {
    "active": ("Active", ("queued", "running", "interrupted", "retrying", "finishing")),
    "paused": ("Paused", ()),
    "failed": ("Failed", ()),
    "ended": ("Ended", ("completed", "cancelled")),
}
#: All runs, without a tab of its own.
ALL = "all"
#: The filters beside the state: their names in the address and in ``graceful.runs.list``.
FILTERS = ("task", "queue", "worker", "tag", "since", "text")
STATES = (*TABS, *(state for _, states in TABS.values() for state in states), ALL)


@dataclass(frozen=True, slots=True)
class Tab:
    """A tab, and how many runs it has."""

    name: str
    url: str
    here: bool
    count: str = ""


def page(context: Context) -> Response:
    """The table, with what was asked for in the address."""
    query = context.request.query
    state = query.get("state") or "active"
    given = given_filters(context)
    try:
        found = listing(context, state, given, query.get("after"))
    except ValueError as exc:
        return failure.page(context, 400, "This filter does not work", str(exc))
    situation = situation_for(context, found.items)
    more = context.url("/", state=state, after=found.next, **given) if found.next else ""
    return context.render(
        "runs.html",
        rows=run_rows(context, found.items, situation),
        mode=situation.mode if situation is not None and not situation.trouble else None,
        tabs=_tabs(context, state, given),
        state=state,
        states=STATES,
        filters=given,
        filtered=any(given.values()),
        first=context.url("/", state=state, **given) if query.get("after") else "",
        more=more,
        everywhere=context.url("/", state=ALL, **given) if state != ALL else "",
        verbs=[(str(verb), LABELS[verb], verb in DANGER) for verb in BULK],
        why_not=context.why_not(OPERATE),
    )


def given_filters(context: Context) -> dict[str, str]:
    """The filters in the address; empty: not given."""
    query = context.request.query
    return {name: query.get(name).strip() for name in FILTERS}


def listing(context: Context, state: str, given: dict[str, str], after: str) -> Page[Run]:
    """The runs that were asked for.

    Raises:
        ValueError: a filter cannot be what it is.
    """
    wanted: dict[str, Any] = {name: value for name, value in given.items() if value}
    only = None if state == ALL else state
    return context.snapshot(
        ("runs", state, tuple(wanted.items()), after),
        SEARCH_LASTS if wanted else LASTS,
        lambda: context.runs.list(state=only, limit=AT_ONCE, after=after or None, **wanted),
    )


def _tabs(context: Context, state: str, given: dict[str, str]) -> list[Tab]:
    counts = context.snapshot("counts", COUNTS_LAST, context.runs.counts)
    tabs = [
        Tab(
            name,
            context.url("/", state="" if value == "active" else value, **given),
            state == value or state in states,
            _count(counts, value),
        )
        for value, (name, states) in TABS.items()
    ]
    return [*tabs, Tab("All", context.url("/", state=ALL, **given), True)] if state == ALL else tabs


def _count(counts: Counts, tab: str) -> str:
    number: int = getattr(counts, tab)
    return f"{number:,}{'+' if tab in counts.at_least else ''}"
