"""What went wrong, as a page for people, with the right status."""

from __future__ import annotations

import logging
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kombu.exceptions import OperationalError

from celery_graceful import errors
from celery_graceful.text.masking import mask_text
from celery_graceful.text.printable import printable
from celery_graceful.web.http import Response

if TYPE_CHECKING:
    from celery_graceful.web.page_context import Context

logger = logging.getLogger("celery_graceful.web")

#: Status and title of what may happen; the first that fits.
_KNOWN: tuple[tuple[type[Exception], int, str], ...] = (
    (errors.AmbiguousRun, 409, "More than one run"),
    (errors.UnknownRun, 404, "No such run"),
    (errors.UnknownTask, 404, "No such task"),
    (errors.RunRefused, 409, "Refused"),
    (errors.StartRefused, 409, "Refused"),
    (errors.ScopeRefused, 409, "Refused"),
    (errors.UnknownScope, 404, "No such queue or task"),
    (errors.StoreUnavailable, 503, "The store does not answer"),
    (errors.CorruptRecord, 500, "A record cannot be read"),
    (errors.NotSent, 503, "The broker does not answer"),
    (errors.PublishUncertain, 503, "The broker does not answer"),
    (OperationalError, 503, "The broker does not answer"),
    (errors.StoreError, 503, "The store cannot be used"),
    (errors.GracefulError, 500, "This did not work"),
)


def page(context: Context, status: int, title: str, why: str, **values: Any) -> Response:
    """A page that says what went wrong."""
    given = {"tried": None, "link": None, **values}
    response = context.render("failure.html", status=status, title=title, why=why, **given)
    if status == 503:
        response = replace(response, headers=(*response.headers, ("Retry-After", "2")))
    return response


def of_exception(context: Context, exc: Exception) -> Response:
    """The page of an error."""
    for kind, status, title in _KNOWN:
        if isinstance(exc, kind):
            if status >= 500:
                logger.warning("%s: %s", title, mask_text(str(exc)))
            return page(context, status, title, mask_text(str(exc)))
    mark = secrets.token_hex(4)
    path = printable(context.request.path[:200])
    logger.error("Error %s of %s %s", mark, context.request.method, path, exc_info=exc)
    why = f"This is an error of the screen. Its log has more under the mark {mark}."
    return page(context, 500, "Something went wrong", why)


def no_page(context: Context, methods: tuple[str, ...]) -> Response:
    """There is no such page, or it cannot be asked so."""
    if not methods:
        return page(context, 404, "No such page", "There is no page at this address.")
    allowed = ", ".join(methods)
    response = page(context, 405, "Wrong method", f"This address allows {allowed}.")
    return replace(response, headers=(*response.headers, ("Allow", allowed)))


def log_in_first(context: Context) -> Response:
    """Nobody has logged in yet: show the login, and come back after it."""
    request = context.request
    if request.poll or not request.safe:
        return page(context, 401, "Log in first", "You have been logged out.", link="/login")
    again = context.url(request.path, **dict(request.query.pairs))[len(request.mount) :]
    return context.redirect("/login", next=again if again != "/" else "")
