"""``/health`` and ``/ready``: for probes, which need no login and see no data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_graceful.errors import GracefulError
from celery_graceful.web.http import Response, text_response

if TYPE_CHECKING:
    from celery_graceful.web.page_context import Context


def page(context: Context) -> Response:
    """200 while this process answers."""
    return text_response(200, "ok\n")


def ready(context: Context) -> Response:
    """200 while the store answers, else 503; why it does not is on the pages and in the log."""
    try:
        context.snapshot("ready", 2.0, context.runtime.store.check)
    except GracefulError:
        return text_response(503, "the store does not answer\n")
    return text_response(200, "ok\n")
