"""A token in each form that only a page of this screen can know.

The browser keeps it in a cookie, which other sites cannot read, and each form repeats it. So it
needs no session and no key that processes would have to share. See
https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html.
"""

from __future__ import annotations

import hmac
import re
import secrets
from typing import TYPE_CHECKING

from celery_graceful.web.safety.cookies import cookies_of

if TYPE_CHECKING:
    from celery_graceful.web.http import Request
    from celery_graceful.web.screen_options import ScreenOptions

#: The cookie and the field.
NAME = "form"
FIELD = "form_token"
_TOKEN = re.compile(r"[0-9a-f]{32}")


def token_of(request: Request, options: ScreenOptions) -> str:
    """The browser's token; empty: it has none yet."""
    token = cookies_of(request, options).get(NAME, "")
    return token if _TOKEN.fullmatch(token) else ""


def new_token() -> str:
    """A token for a browser that has none."""
    return secrets.token_hex(16)


def why_refused(request: Request, options: ScreenOptions) -> str:
    """Why a change is refused; empty: it may be made."""
    if request.token is not None:  # the mounting framework has checked its own
        return ""
    token = token_of(request, options)
    if token and hmac.compare_digest(token.encode(), request.form.get(FIELD).encode()):
        return ""
    return (
        "The form is not one of this browser's: it is stale, or cookies are blocked."
        " Nothing was changed. Go back, load the page again, and repeat what you did."
    )
