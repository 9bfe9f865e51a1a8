"""``/login`` and ``/logout`` of a screen with a login of its own."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from celery_graceful.text.printable import printable
from celery_graceful.web.http import Response
from celery_graceful.web.login.accounts import COOKIE, LASTS
from celery_graceful.web.pages import failure
from celery_graceful.web.safety.cookies import cookies_of
from celery_graceful.web.safety.way_back import way_back

if TYPE_CHECKING:
    from celery_graceful.web.page_context import Context

logger = logging.getLogger("celery_graceful.web")
#: Characters; longer ones are nobody's.
_LONGEST = 500


def ask(context: Context) -> Response:
    """The form."""
    if context.screen.options.accounts is None:
        return failure.no_page(context, ())
    if context.request.user is not None:
        return context.redirect("/")
    return _form(context, 200, context.request.query.get("next"))


def enter(context: Context) -> Response:
    """Check user and password; begin a session."""
    accounts = context.screen.options.accounts
    if accounts is None:
        return failure.no_page(context, ())
    form = context.request.form
    user, password = form.get("user"), form.get("password")
    then = form.get("next")
    keys = (f"user {user[:_LONGEST]}", f"address {context.request.address}")
    wait = accounts.attempts.wait(*keys)
    if wait > 0:
        seconds = int(wait) + 1
        response = _form(context, 429, then, user, f"Too many attempts: wait {seconds} s.")
        return replace(response, headers=(*response.headers, ("Retry-After", str(seconds))))
    if max(len(user), len(password)) > _LONGEST or not accounts.check(user, password):
        accounts.attempts.failed(*keys)
        shown = printable(user[:100])
        logger.warning("Login failed: user %s from %s", shown, context.request.address)
        return _form(context, 401, then, user, "User or password is wrong.")
    accounts.attempts.succeeded(*keys)
    logger.info("Login: user %s from %s", user, context.request.address)
    response = context.back(f"Logged in as {user}.", to=then)
    cookie = context.cookie(COOKIE, accounts.begin(user), seconds=LASTS)
    return replace(response, headers=(*response.headers, cookie))


def leave(context: Context) -> Response:
    """End the session."""
    accounts = context.screen.options.accounts
    if accounts is None:
        return failure.no_page(context, ())
    accounts.end(cookies_of(context.request, context.screen.options))
    response = context.redirect("/login", "Logged out.")
    return replace(response, headers=(*response.headers, context.cookie(COOKIE, "", seconds=0)))


def _form(context: Context, status: int, then: str, user: str = "", trouble: str = "") -> Response:
    return context.render(
        "login.html",
        status=status,
        then=then if way_back(then) == then else "",
        user=user,
        trouble=trouble,
    )
