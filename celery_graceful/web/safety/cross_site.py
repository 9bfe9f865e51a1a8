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
            return "" if _is_own(given, request) else _refusal(f"{name.title()}: {given}")
    return ""


def _is_own(url: str, request: Request) -> bool:
    """Whether an address is this screen's: ``null``, and what is no address, is not."""
    try:
        scheme, netloc = urlsplit(url)[:2]
    except ValueError:
        return False
    if not netloc or (request.secure and scheme != "https"):
        return False
    return _with_port(netloc.rpartition("@")[2], scheme) == _with_port(request.host, scheme)


def _with_port(host: str, scheme: str) -> str:
    """Some proxies write the port that browsers leave off."""
    host = host.strip().lower()
    bare = host.endswith("]") if host.startswith("[") else ":" not in host
    return f"{host}:{443 if scheme == 'https' else 80}" if bare else host


def _refusal(what: str) -> str:
    return (
        f"The request came from a page of another site ({printable(what[:200])}). Nothing was"
        " changed. If it was this screen's own page, the proxy in front of it has to pass on the"
        " header Host as the browser sent it, or to be named with --trusted-proxy."
    )
