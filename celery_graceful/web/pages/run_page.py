"""``/runs/ID``: one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_graceful.web.http import OPERATE, Response
from celery_graceful.web.pages import failure
from celery_graceful.web.rendering.shown_runs import quoted, state_of, why

if TYPE_CHECKING:
    from celery_graceful.web.page_context import Context

#: Seconds that a run is shown without a look at the store.
LASTS = 2.0


def page(context: Context) -> Response:
    """All that is known of a run."""
    name = context.rest or context.request.query.get("id")
    if not name:
        return failure.page(context, 404, "No such run", "The address names no run.")
    run = context.snapshot(("run", name), LASTS, lambda: context.runs.get(name))
    return context.render(
        "run.html",
        run=run,
        state=state_of(run),
        why=why(run),
        field=quoted(str(run)),
        why_not=context.why_not(OPERATE),
    )
