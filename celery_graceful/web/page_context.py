"""What a page works with: the request, the app's runs and maintenance mode, and the templates."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

from celery_graceful.runtime import Runtime, runtime_of
from celery_graceful.web.http import Request, Response
from celery_graceful.web.rendering.frame import Frame
from celery_graceful.web.safety.cookies import cookie_header, cookies_of
from celery_graceful.web.safety.way_back import way_back

if TYPE_CHECKING:
    from celery_graceful.maintenance.api import Maintenance
    from celery_graceful.model.maintenance.mode import Mode
    from celery_graceful.runs.api import Runs
    from celery_graceful.web.dispatch import Screen

T = TypeVar("T")

#: Characters of a message; a cookie has room for it.
_MOST_OF_MESSAGE = 900
FLASH = "flash"


@dataclass(frozen=True)
class Context:
    """What a page works with."""

    request: Request
    screen: Screen
    #: The rest of the path, where the route has one: an id, a file's name.
    rest: str = ""

    @property
    def runtime(self) -> Runtime:
        """Settings and store of the app."""
        return runtime_of(self.screen.app)

    @property
    def runs(self) -> Runs:
        """The same as ``graceful.runs``."""
        return self.screen.runs

    @property
    def maintenance(self) -> Maintenance:
        """The same as ``graceful.maintenance``."""
        return self.screen.maintenance

    @property
    def who(self) -> str:
        """The user, for the action log."""
        return self.request.user or "somebody without a name"

    def snapshot(self, key: Hashable, seconds: float, read: Callable[[], T]) -> T:
        """What ``read`` returns, or returned in the last ``seconds`` to any viewer."""
        return self.screen.snapshots.get(key, seconds, read)

    def can(self, permission: str) -> bool:
        """Whether the user has a permission, on a screen that may change something."""
        return self.why_not(permission) == ""

    def why_not(self, permission: str) -> str:
        """Why the user may not do this; empty: they may."""
        if permission in self.request.can:
            return ""
        if self.screen.options.read_only:
            return self.screen.options.read_only
        return f"you do not have the permission “{permission}”"

    # -- addresses ----------------------------------------------------------------------------

    def url(self, path: str, /, **query: Any) -> str:
        """The address of a page below the mount; parameters that are empty are left out."""
        given = [(name, str(value)) for name, value in query.items() if value not in ("", None)]
        address = quote(self.request.mount + path, "/:@,+[]~!$&'()*;=", errors="surrogatepass")
        return f"{address}?{urlencode(given, errors='surrogatepass')}" if given else address

    # -- answers ------------------------------------------------------------------------------

    def render(
        self, template: str, /, *, status: int = 200, mode: Mode | None = None, **values: Any
    ) -> Response:
        """A page from a template.

        Args:
            template: of ``web/templates/``; it sees the values, and ``page``, a :class:`.Frame`.
            status: of the response.
            mode: the maintenance mode, if the page knows it already.
            **values: for the template.
        """
        text = self.screen.templates.render(template, page=Frame(self, mode), **values)
        kind = ("Content-Type", "text/html; charset=utf-8")
        return Response(status, (kind,), text.encode("utf-8", "backslashreplace"))

    def redirect(
        self, path: str, message: str = "", *, kind: str = "done", **query: Any
    ) -> Response:
        """Send the browser on to a page, after a change.

        Args:
            path: of the page, below the mount.
            message: shown there once.
            kind: of the message: ``done``, ``refused`` or ``trouble``.
            **query: parameters of the page.
        """
        return self._see(self.url(path, **query), message, kind)

    def back(self, message: str = "", *, kind: str = "done", to: str | None = None) -> Response:
        """Send the browser back to the page of this screen that a form's field ``back`` names.

        Args:
            message: shown there once.
            kind: of the message: ``done``, ``refused`` or ``trouble``.
            to: another path and query; what is no page of this screen becomes ``/``.
        """
        place = way_back(self.request.form.get("back") if to is None else to)
        return self._see(self.request.mount + place, message, kind)

    def _see(self, address: str, message: str, kind: str) -> Response:
        headers = [("Location", address)]
        if message:
            headers.append(self.cookie(FLASH, _packed(kind, message)))
        return Response(303, tuple(headers))

    def cookie(self, name: str, value: str, *, seconds: int | None = None) -> tuple[str, str]:
        """The header that sets a cookie of the screen; ``seconds=0`` deletes it."""
        return cookie_header(self.request, self.screen.options, name, value, seconds)

    @cached_property
    def flash(self) -> dict[str, str] | None:
        """The message of the change before; polls leave it for the page."""
        if self.request.poll or not self.request.safe:
            return None
        return _unpacked(cookies_of(self.request, self.screen.options).get(FLASH, ""))


def _packed(kind: str, message: str) -> str:
    if len(message) > _MOST_OF_MESSAGE:
        message = message[: _MOST_OF_MESSAGE - 1] + "…"
    while True:  # what is no ASCII takes more room
        text = json.dumps({"kind": kind, "text": message}, ensure_ascii=False)
        packed = base64.urlsafe_b64encode(text.encode("utf-8", "backslashreplace"))
        if len(packed) <= 3000:
            return packed.decode()
        message = message[: len(message) // 2] + "…"


def _unpacked(packed: str) -> dict[str, str] | None:
    try:
        data = json.loads(base64.urlsafe_b64decode(packed))
    except (ValueError, binascii.Error, RecursionError):
        return None
    if not isinstance(data, dict) or data.get("kind") not in ("done", "refused", "trouble"):
        return None
    return {"kind": data["kind"], "text": str(data.get("text", ""))}
