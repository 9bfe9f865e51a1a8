"""Which names a screen answers to: against pages that let a name of theirs point to this machine.

See https://owasp.org/www-community/attacks/DNS_Rebinding.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from celery_graceful.text.printable import printable

if TYPE_CHECKING:
    from celery_graceful.web.http import Request


def why_wrong(request: Request, allowed: Collection[str] | None) -> str:
    """Why this host is not answered; empty: it is.

    Args:
        request: with its header ``Host``, and the name that a trusted proxy has forwarded: both
            have to be allowed, since a proxy may pass on what a client sent.
        allowed: names without ports; ``.example.com`` allows all below it; ``None``: all.
    """
    if allowed is None:
        return ""
    for given in (request.header("host"), request.host):
        name = host_name(given)
        if not any(_fits(name, each.lower()) for each in allowed):
            return (
                f"This screen does not answer to the name “{printable(name[:100])}”."
                f" It answers to {', '.join(sorted(allowed))}; --allowed-host adds others."
            )
    return ""


def host_name(host: str) -> str:
    """The name in a ``Host`` header: without the port and the brackets of IPv6, in lower case."""
    name = host.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0].rstrip(".")


def _fits(name: str, allowed: str) -> bool:
    if allowed.startswith("."):
        return name == allowed[1:] or name.endswith(allowed)
    return name == allowed
