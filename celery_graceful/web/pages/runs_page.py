"""``/``: the runs, by tabs and filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery_graceful.web.http import OPERATE, Response
from celery_graceful.web.pages import failure
from celery_graceful.web.rendering.shown_runs import run_rows

if TYPE_CHECKING:
    from celery_graceful.runs.plain_run import Page, Run
    from celery_graceful.web.page_context import Context

#: Runs on a page.
AT_ONCE = 50
#: Seconds that a listing is shown without a look at the store.
LASTS = 4.0
#: The tabs by their states, and the state that they list.
TABS = (("Active", ""), ("Paused", "paused"), ("Failed", "failed"), ("Ended", "ended"))
#: The filters beside the tab: their names in the address and in ``graceful.runs.list``.
FILTERS = ("task", "queue", "worker", "since", "text")


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
    state = query.get("state")
    given = {name: query.get(name).strip() for name in FILTERS}
    try:
        found = listing(context, state, given, query.get("after"))
    except ValueError as exc:
        return failure.page(context, 400, "This filter does not work", str(exc))
    more = context.url("/", state=state, after=found.next, **given) if found.next else ""
    return context.render(
        "runs.html",
        rows=run_rows(context, found.items),
        tabs=_tabs(context, state, given),
        state=state,
        filters=given,
        filtered=any(given.values()),
        first=context.url("/", state=state, **given) if query.get("after") else "",
        more=more,
        why_not=context.why_not(OPERATE),
    )


def listing(context: Context, state: str, given: dict[str, str], after: str) -> Page[Run]:
    """The runs that were asked for.

    Raises:
        ValueError: a filter cannot be what it is.
    """
    wanted: dict[str, Any] = {name: value for name, value in given.items() if value}
    key = ("runs", state, tuple(wanted.items()), after)
    return context.snapshot(
        key,
        LASTS,
        lambda: context.runs.list(
            state=state or None, limit=AT_ONCE, after=after or None, **wanted
        ),
    )


def _tabs(context: Context, state: str, given: dict[str, str]) -> list[Tab]:
    return [
        Tab(name, context.url("/", state=value, **given), value == state) for name, value in TABS
    ]
