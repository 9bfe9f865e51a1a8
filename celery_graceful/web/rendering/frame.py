"""What ``base.html`` shows around every page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from celery_graceful.errors import CorruptRecord
from celery_graceful.maintenance import mode_changes
from celery_graceful.runtime import namespace_in
from celery_graceful.text.masking import mask_text
from celery_graceful.web import routes
from celery_graceful.web.http import MAINTAIN, OPERATE, START
from celery_graceful.web.rendering.templates import static_version
from celery_graceful.web.safety import form_tokens
from celery_graceful.web.safety.way_back import way_back

if TYPE_CHECKING:
    from celery_graceful.model.maintenance.mode import Mode
    from celery_graceful.web.http import Request
    from celery_graceful.web.page_context import Context

#: Seconds that the mode is shown without reading the store.
MODE_LASTS = 8.0


@dataclass(frozen=True, slots=True)
class ShownHold:
    """One scope that is held."""

    what: str
    who: str
    reason: str
    since: float
    until: float | None


@dataclass(frozen=True, slots=True)
class ShownMode:
    """The maintenance mode as the banner shows it."""

    holds: Sequence[ShownHold] = ()
    unreadable: str = ""


@dataclass(frozen=True)
class Frame:
    """What a template knows beside its own values."""

    context: Context
    #: The maintenance mode, where the page has read it.
    known_mode: Mode | None = None

    @property
    def request(self) -> Request:
        """The request that is answered."""
        return self.context.request

    @property
    def app_name(self) -> str:
        """The app, by its namespace."""
        return namespace_in(self.context.screen.app)

    @property
    def store_address(self) -> str:
        """Where runs are kept, without a password."""
        return self.context.runtime.store_address

    @property
    def navigation(self) -> list[dict[str, Any]]:
        """The pages that have a name."""
        here = self.request.path
        return [
            {
                "name": route.name,
                "url": self.url(route.path),
                "here": here == route.path or (route.path == "/" and here.startswith("/runs/")),
            }
            for route in routes.ROUTES
            if route.name
        ]

    @property
    def here(self) -> str:
        """This page, below the mount: where a change comes back to."""
        address = self.url(self.request.path)[len(self.request.mount) :]
        query = urlencode(self.request.query.pairs, errors="replace")
        return f"{address}?{query}" if query else address

    @property
    def back_here(self) -> str:
        """Where a form of this page comes back to; after a wrong one, where that would have."""
        return self.here if self.request.safe else way_back(self.request.form.get("back"))

    def back_to(self, given: str) -> str:
        """The address of the page that ``back`` names."""
        return self.request.mount + way_back(given)

    @property
    def flash(self) -> dict[str, str] | None:
        """The message of the change before."""
        return self.context.flash

    @property
    def has_login(self) -> bool:
        """Whether the login is the screen's own."""
        return self.context.screen.options.accounts is not None

    @property
    def read_only(self) -> str:
        """Why the user can change nothing; empty: they can change something."""
        if any(self.context.can(name) for name in (OPERATE, START, MAINTAIN)):
            return ""
        return self.context.why_not(OPERATE)

    @property
    def token_field(self) -> str:
        """The name of the hidden field with the form token."""
        token = self.request.token
        return form_tokens.FIELD if token is None else token[0]

    @property
    def mode(self) -> ShownMode:
        """The maintenance mode."""
        if self.known_mode is not None:
            return _shown_mode(self.known_mode)
        return self.context.snapshot("maintenance mode", MODE_LASTS, self._read_mode)

    def url(self, path: str, /, **query: Any) -> str:
        """The address of a page."""
        return self.context.url(path, **query)

    def static(self, name: str) -> str:
        """The address of a stylesheet, script or image."""
        return self.url(f"/static/{name}", v=static_version(name))

    def can(self, permission: str) -> bool:
        """Whether the user has this permission."""
        return self.context.can(permission)

    def why_not(self, permission: str) -> str:
        """Why the user may not do this; empty: they may."""
        return self.context.why_not(permission)

    def has(self, method: str, path: str) -> bool:
        """Whether the screen has such a page."""
        return isinstance(routes.find(method, path), routes.Match)

    def _read_mode(self) -> ShownMode:
        try:
            mode = mode_changes.read(self.context.runtime).mode
        except CorruptRecord as exc:
            return ShownMode(unreadable=mask_text(str(exc)))
        return _shown_mode(mode)


def _shown_mode(mode: Mode) -> ShownMode:
    return ShownMode(
        tuple(
            ShownHold(str(each.scope), each.who, each.reason, each.since, each.until)
            for each in mode.holds
        )
    )
