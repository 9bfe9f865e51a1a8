"""Which page answers which path."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from celery_graceful.web.http import MAINTAIN, OPERATE, START, VIEW

if TYPE_CHECKING:
    from celery_graceful.web.http import Response
    from celery_graceful.web.page_context import Context

Page = Callable[["Context"], "Response"]

_PAGES = "celery_graceful.web.pages."


@dataclass(frozen=True, slots=True)
class Route:
    """One path, or all that begin with it."""

    #: ``GET`` answers ``HEAD`` as well.
    method: str
    #: Ends with ``/*`` where the rest of the path is an argument.
    path: str
    #: A module of ``web/pages/`` and, where it is not ``page``, a function.
    page: str
    #: The permission that it needs; empty: anybody may ask, without a login.
    needs: str = VIEW
    #: Its name in the navigation; empty: it is not there.
    name: str = ""

    def load(self) -> Page:
        """The function, imported now."""
        module, _, function = self.page.partition(":")
        page: Page = getattr(importlib.import_module(_PAGES + module), function or "page")
        return page


ROUTES = (
    Route("GET", "/", "runs_page", name="Runs"),
    Route("GET", "/runs/*", "run.run_page"),
    Route("POST", "/do", "run.do_page", needs=OPERATE),
    Route("GET", "/start", "start_page", name="Start"),
    Route("POST", "/start", "start_page:submit", needs=START),
    Route("GET", "/maintenance", "maintenance_page", name="Maintenance"),
    Route("POST", "/maintenance/plan", "maintenance_page:ask_plan", needs=MAINTAIN),
    Route("POST", "/maintenance/down", "maintenance_page:down", needs=MAINTAIN),
    Route("POST", "/maintenance/up", "maintenance_page:up", needs=MAINTAIN),
    Route("GET", "/workers", "workers_page", name="Workers"),
    Route("GET", "/processes", "processes_page", name="Processes"),
    Route("GET", "/login", "login_page:ask", needs=""),
    Route("POST", "/login", "login_page:enter", needs=""),
    Route("POST", "/logout", "login_page:leave", needs=""),
    Route("GET", "/static/*", "static_files", needs=""),
    Route("GET", "/health", "health", needs=""),
    Route("GET", "/ready", "health:ready", needs=""),
)

#: They answer whatever ``Host`` they are asked by: probes use the address of a pod, and the page
#: that refuses a host has a style.
ANY_HOST = ("/health", "/ready", "/static/*")


@dataclass(frozen=True, slots=True)
class Match:
    """The route of a request, and the rest of its path."""

    route: Route
    rest: str = ""


def find(method: str, path: str) -> Match | tuple[str, ...]:
    """The route of a request; without one, the methods that the path allows (none: no page)."""
    wanted = "GET" if method == "HEAD" else method
    matches = [match for route in ROUTES if (match := _match(route, path)) is not None]
    for match in matches:
        if match.route.method == wanted:
            return match
    return tuple(sorted({match.route.method for match in matches}))


def _match(route: Route, path: str) -> Match | None:
    if not route.path.endswith("/*"):
        return Match(route) if path == route.path else None
    base = route.path[:-1]
    return Match(route, path[len(base) :]) if path.startswith(base) else None
