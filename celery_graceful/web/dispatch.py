"""``Screen``: a request in, a response out."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from celery_graceful.runtime import runtime_of
from celery_graceful.web import routes
from celery_graceful.web.http import Request, Response
from celery_graceful.web.page_context import FLASH, Context
from celery_graceful.web.pages import failure
from celery_graceful.web.rendering.templates import Templates
from celery_graceful.web.safety import cross_site, form_tokens, forwarded, hosts, response_headers
from celery_graceful.web.safety.cookies import cookies_of
from celery_graceful.web.screen_options import ScreenOptions
from celery_graceful.web.snapshots import Snapshots

if TYPE_CHECKING:
    from celery import Celery

    from celery_graceful.maintenance.api import Maintenance
    from celery_graceful.runs.api import Runs
    from celery_graceful.views.fleet.watch import Fleet

#: Bytes of a path and its query.
_LONGEST_URL = 16 * 1024


class Screen:
    """The screen of an app. Safe to share between threads; connects to nothing before its use."""

    def __init__(self, app: Celery, options: ScreenOptions | None = None) -> None:
        self.app = app
        self.options = options or ScreenOptions()
        self.snapshots = Snapshots()
        self.templates = Templates(self.options.templates)

    @cached_property
    def runs(self) -> Runs:
        """The same as ``graceful.runs``."""
        from celery_graceful.runs.api import Runs

        return Runs(lambda: self.app)

    @cached_property
    def maintenance(self) -> Maintenance:
        """The same as ``graceful.maintenance``."""
        from celery_graceful.maintenance.api import Maintenance

        return Maintenance(lambda: self.app)

    @cached_property
    def fleet(self) -> Fleet:
        """The workers, as pages show them."""
        from celery_graceful.views.fleet.watch import Fleet

        return Fleet(lambda: runtime_of(self.app))

    def answer(self, request: Request) -> Response:
        """Answer a request; whatever it holds, this raises nothing."""
        request = forwarded.seen_by_browser(request, self.options.trusted_proxies)
        request = self._identified(request)
        context = Context(request, self)
        response = self._answer(context)
        return response_headers.finished(context, self._without_flash(context, response))

    def _answer(self, context: Context) -> Response:
        request = context.request
        try:
            found = routes.find(request.method, request.path)
            if why := self._wrong(request, found):
                return failure.page(context, 400, "Wrong request", why)
            if not isinstance(found, routes.Match):
                return failure.no_page(context, found)
            context = replace(context, rest=found.rest)
            if refused := self._refused(context, found.route):
                return refused
            response = found.route.load()(context)
        except Exception as exc:  # every error is a page
            response = failure.of_exception(context, exc)
        if not request.safe:
            self.snapshots.forget()
        return response

    def _wrong(self, request: Request, found: routes.Match | tuple[str, ...]) -> str:
        """What is wrong with a request, whoever asks; empty: nothing."""
        if len(request.path) + sum(len(a) + len(b) + 2 for a, b in request.query) > _LONGEST_URL:
            return f"The address is longer than {_LONGEST_URL} characters."
        public = isinstance(found, routes.Match) and found.route.path in routes.ANY_HOST
        return "" if public else hosts.why_wrong(request, self.options.hosts)

    def _refused(self, context: Context, route: routes.Route) -> Response | None:
        request = context.request
        if not request.safe and (why := cross_site.why_refused(request)):
            return failure.page(context, 403, "Refused", why)
        if not request.safe and (why := form_tokens.why_refused(request, self.options)):
            return failure.page(context, 403, "Refused", why)
        if not route.needs:
            return None
        if self.options.accounts is not None and request.user is None:
            return failure.log_in_first(context)
        if why := context.why_not(route.needs):
            return failure.page(context, 403, "Not allowed", f"This is not possible: {why}.")
        return None

    def _identified(self, request: Request) -> Request:
        """With who has logged in, where the screen has a login of its own."""
        accounts = self.options.accounts
        if accounts is None:
            return request
        user = accounts.user_of(cookies_of(request, self.options))
        return replace(request, user=user, can=accounts.permissions_of(user))

    def _without_flash(self, context: Context, response: Response) -> Response:
        """Delete the message that this response shows."""
        if context.flash is None or response.status >= 500:
            return response
        if not response.header("Content-Type").startswith("text/html"):
            return response
        gone = context.cookie(FLASH, "", seconds=0)
        return replace(response, headers=(*response.headers, gone))
