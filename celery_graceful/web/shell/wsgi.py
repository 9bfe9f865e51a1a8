"""The screen as a WSGI application, with Werkzeug."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

from celery_graceful.errors import SettingsError
from celery_graceful.web.dispatch import Screen
from celery_graceful.web.http import PERMISSIONS, VIEW, Fields, Request, text_response
from celery_graceful.web.screen_options import LOOPBACK, ScreenOptions

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from celery import Celery

#: Bytes of a form; arguments of a task may be long.
MOST_OF_FORM = 2 * 1024 * 1024
_MOST_FIELDS = 2000
#: Imported when they are used.
_PACKAGES = ("itsdangerous", "jinja2", "werkzeug")


class Visitor(NamedTuple):
    """Who uses a mounted screen, and what they may do."""

    user: str
    #: Some of ``view``, ``operate``, ``start`` and ``maintain``.
    can: Collection[str] = PERMISSIONS


#: From a request's environment to who sent it; ``None``: nobody who may see the screen.
Identify = Callable[["WSGIEnvironment"], "Visitor | None"]
Application = Callable[["WSGIEnvironment", "StartResponse"], Iterable[bytes]]


class ScreenApplication:
    """A WSGI application that shows a screen."""

    def __init__(self, screen: Screen, identify: Callable[[Request, Any], Request]) -> None:
        self.screen = screen
        self._identify = identify

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        from werkzeug.exceptions import HTTPException
        from werkzeug.wrappers import Response as Sent

        try:
            request = self._identify(_read(environ), environ)
            response = self.screen.answer(request)
        except HTTPException as exc:
            code = exc.code or 400
            text = "The request is too large.\n" if code == 413 else "The request cannot be read.\n"
            response = text_response(code, text)
        sent = Sent(response.body, response.status)
        sent.headers.clear()
        sent.headers.extend(response.headers)
        if response.status != 304:
            sent.headers["Content-Length"] = str(len(response.body))
        return sent(environ, start)


def check_packages() -> None:
    """The packages of the extra are there.

    Raises:
        SettingsError: one is not.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"The web screen needs {', '.join(missing)}: pip install 'celery-graceful[web]'"
        )


def mounted(app: Celery, visitor: Identify | None, hosts: Collection[str] | None) -> Application:
    """The screen for another application; see :meth:`.Graceful.wsgi`."""
    check_packages()
    if visitor is None:
        options = ScreenOptions(
            hosts=LOOPBACK if hosts is None else frozenset(hosts),
            read_only="this screen is read-only: the application that mounts it names no users",
        )
        return ScreenApplication(Screen(app, options), _from_here)

    def identify(request: Request, environ: WSGIEnvironment) -> Request:
        who = visitor(environ)
        if who is None:
            return request
        user, can = who
        if unknown := set(can) - PERMISSIONS:
            raise ValueError(f"visitor: {sorted(unknown)} are none of {sorted(PERMISSIONS)}")
        return replace(request, user=user, can=frozenset(can))

    options = ScreenOptions(hosts=None if hosts is None else frozenset(hosts))
    return ScreenApplication(Screen(app, options), identify)


def anybody(request: Request, environ: WSGIEnvironment) -> Request:
    """On a server of the screen's own: without accounts, whoever can reach it may look."""
    return replace(request, can=frozenset((VIEW,)))


def _from_here(request: Request, environ: WSGIEnvironment) -> Request:
    """Nobody is named: those who sit at this machine may look."""
    forwarded = "HTTP_X_FORWARDED_FOR" in environ or "HTTP_FORWARDED" in environ
    here = is_loopback(request.address) and not forwarded
    return replace(request, can=frozenset((VIEW,))) if here else request


def is_loopback(address: str) -> bool:
    """Whether an address is this machine's own; a Unix socket has none, and is."""
    if address in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _read(environ: WSGIEnvironment) -> Request:
    """The request of an environment.

    Raises:
        werkzeug.exceptions.HTTPException: the form is too large or cannot be read.
    """
    from werkzeug.wrappers import Request as Received

    received = Received(environ)
    received.max_content_length = MOST_OF_FORM
    received.max_form_memory_size = MOST_OF_FORM
    received.max_form_parts = _MOST_FIELDS
    form = Fields(tuple(received.form.items(multi=True))) if received.method == "POST" else Fields()
    return Request(
        received.method,
        received.path or "/",
        Fields(tuple(received.args.items(multi=True))),
        form,
        {name.lower(): value for name, value in received.headers.items()},
        mount=received.root_path.rstrip("/"),
        secure=received.is_secure,
        address=received.remote_addr or "",
    )
