"""The screen's cookies."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from celery_graceful.web.http import Request
    from celery_graceful.web.screen_options import ScreenOptions

_PREFIX = "graceful_"
_VALUE = re.compile(r"[\w.\-=]*", re.ASCII)


def cookies_of(request: Request, options: ScreenOptions) -> dict[str, str]:
    """The screen's own cookies in a request, by their names without prefix and suffix."""
    found: dict[str, str] = {}
    for part in request.header("cookie").split(";"):
        name, _, value = part.strip().partition("=")
        if name.startswith(_PREFIX) and name.endswith(options.cookie_suffix):
            short = name[len(_PREFIX) : len(name) - len(options.cookie_suffix)]
            if _VALUE.fullmatch(value):
                found.setdefault(short, value)
    return found


def cookie_header(
    request: Request, options: ScreenOptions, name: str, value: str, seconds: int | None = None
) -> tuple[str, str]:
    """The header that sets a cookie: for this screen only, not for scripts.

    ``Lax``, so that a link in a chat opens the page that it names and not the login; a change
    needs more than the cookie, see :mod:`.cross_site`.

    Args:
        request: that is answered.
        options: of the screen.
        name: without prefix and suffix.
        value: letters, digits and ``_ - . =`` only.
        seconds: how long it is kept; 0 deletes it; ``None``: until the browser is closed.
    """
    whole = f"{_PREFIX}{name}{options.cookie_suffix}={value}"
    parts = [whole, f"Path={request.mount or '/'}", "HttpOnly", "SameSite=Lax"]
    if seconds is not None:
        parts.append(f"Max-Age={seconds}")
    if request.secure:
        parts.append("Secure")
    return "Set-Cookie", "; ".join(parts)
