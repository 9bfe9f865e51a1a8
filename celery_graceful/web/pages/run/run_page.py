"""``/runs/ID``: one run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from celery_graceful.runs.plain_run import Page, Run
from celery_graceful.runs.quarantined_items import QuarantinedItem
from celery_graceful.web.http import OPERATE, Response
from celery_graceful.web.pages import failure
from celery_graceful.web.rendering import shown_runs
from celery_graceful.web.rendering.rate_chart import chart_of, shown_executions
from celery_graceful.web.rendering.shown_values import as_json
from celery_graceful.web.rendering.shown_verbs import shown_verbs

if TYPE_CHECKING:
    from celery_graceful.web.page_context import Context

#: Seconds that a run and its items are shown without reading the store.
LASTS = 2.0
ITEMS_LAST = 15.0
#: Which run an id names is remembered for so long.
NAMED = 600.0
#: Quarantined items on a page, and executions that are shown at once.
ITEMS = 25


def page(context: Context) -> Response:
    """All that is known of a run."""
    name = context.rest or context.request.query.get("id")
    if not name:
        return failure.page(context, 404, "No such run", "The address names no run.")
    return show(context, name)


def show(
    context: Context,
    name: str,
    *,
    status: int = 200,
    given: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
    opened: str = "",
) -> Response:
    """The page of a run.

    Args:
        context: of the request.
        name: names the run, as for ``graceful.runs.get``.
        status: of the response.
        given: what was written into the form of a verb.
        errors: what is wrong with it, by its fields.
        opened: the verb whose form is open.
    """
    run = read_run(context, name)
    situation = shown_runs.situation_for(context, [run])
    count = shown_runs.executions_of(run)
    executions = shown_executions(run.executions, count, run.checkpoint_at)
    after = context.request.query.get("items_after")
    items = read_items(context, run, after)
    return context.render(
        "run.html",
        status=status,
        mode=situation.mode if situation is not None and not situation.trouble else None,
        run=run,
        state=shown_runs.state_of(run),
        why=shown_runs.why(run, situation),
        worker=shown_runs.worker_of(run),
        run_field=shown_runs.quoted(str(run)),
        url=shown_runs.run_url(context, run),
        verbs=shown_verbs(run, context.why_not(OPERATE)),
        why_not=context.why_not(OPERATE),
        executions=executions[::-1],
        execution_count=count,
        chart=chart_of(executions),
        items=items,
        cursor="" if run.carry is None or run.unreadable else as_json(run.cursor),
        given=given or {},
        errors=errors or {},
        opened=opened,
    )


def read_run(context: Context, name: str) -> Run:
    """The run, read again only if the last reading is too old."""

    def read() -> Run:
        # By its task as well, a run is found in one call of the store.
        named = context.snapshot(("named", name), NAMED, lambda: str(context.runs.get(name)))
        return context.runs.get(named)

    return context.snapshot(("run", name), LASTS, read)


def read_items(context: Context, run: Run, after: str) -> Page[QuarantinedItem]:
    """Its quarantined items; without reading the store where there are none."""
    if not run.quarantined:
        return Page(())
    place = after if after.isascii() and after.isdigit() and len(after) < 16 else None
    return context.snapshot(
        ("items", str(run), place),
        ITEMS_LAST,
        lambda: context.runs.quarantined(str(run), limit=ITEMS, after=place),
    )
