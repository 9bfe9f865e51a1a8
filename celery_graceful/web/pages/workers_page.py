"""``/workers``: what each worker is and does, and what the doctor finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_graceful.views.fleet.examination import NOT_CHECKED
from celery_graceful.web.rendering.shown_workers import shown_workers

if TYPE_CHECKING:
    from celery_graceful.views.fleet.watch import FleetState
    from celery_graceful.web.http import Response
    from celery_graceful.web.page_context import Context

#: Seconds that the workers are shown without reading the store: two calls each.
LASTS = 3.5


def page(context: Context) -> Response:
    """The workers, and the findings of the last minute."""
    fleet = fleet_of(context)
    return context.render(
        "fleet/workers.html",
        mode=fleet.mode,
        workers=shown_workers(context, fleet),
        trouble=fleet.barrier.trouble,
        asked=fleet.asked,
        examined=context.screen.fleet.examined(),
        not_checked=NOT_CHECKED,
    )


def fleet_of(context: Context, seconds: float = LASTS) -> FleetState:
    """The workers as they were seen in the last seconds."""
    return context.snapshot("fleet", seconds, context.screen.fleet.look)
