"""``/processes``: background processes of tasks, and what tasks left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_graceful.web.pages.workers_page import fleet_of
from celery_graceful.web.rendering.shown_workers import (
    not_looking,
    shown_leaks,
    shown_processes,
    unnamed_processes,
)

if TYPE_CHECKING:
    from celery_graceful.web.http import Response
    from celery_graceful.web.page_context import Context


def page(context: Context) -> Response:
    """What all workers report."""
    fleet = fleet_of(context)
    return context.render(
        "fleet/processes.html",
        mode=fleet.mode,
        processes=shown_processes(context, fleet),
        more=unnamed_processes(fleet),
        leaks=shown_leaks(fleet),
        not_looking=not_looking(fleet),
        workers=len(fleet.barrier.live),
    )
