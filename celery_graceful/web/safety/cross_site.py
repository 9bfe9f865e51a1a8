"""Whether a change was asked for by a page of this screen.

``Sec-Fetch-Site`` answers it where browsers send it: on HTTPS and on localhost. Else ``Origin``,
which they send with each POST; else ``Referer``. A client without any of them is no browser that
another page could use; it has to have a form token all the same. See
https://developer.mozilla.org/en-US/docs/Web/HTTP/Headers/Sec-Fetch-Site.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from celery_graceful.text.printable import printable

if TYPE_CHECKING:
    from celery_graceful.web.http import Request

#: From this very origin, or by a person (a form sent once more from the history).
_OWN = ("same-origin", "none")


def why_refused(request: Request) -> str:
    """Why a change is refused; empty: it may be made."""
    site = request.header("sec-fetch-site")
    if site:
        return "" if site in _OWN else _refusal(f"Sec-Fetch-Site: {site}")
    for name in ("origin", "referer"):
        given = request.header(name)
        if given:
            same = _host_of(given) == request.header("host").lower()
            return "" if same else _refusal(f"{name.title()}: {given}")
    return ""


def _host_of(url: str) -> str | None:
    """Host and port of an address; ``None`` of ``null`` and of what is no address."""
    try:
        return urlsplit(url).netloc.lower().rpartition("@")[2] or None
    except ValueError:
        return None


def _refusal(what: str) -> str:
    return (
        f"The request came from a page of another site ({printable(what[:200])}). Nothing was"
        " changed. If it was this screen's own page, the proxy in front of it has to pass on the"
        " header Host as the browser sent it."
    )
