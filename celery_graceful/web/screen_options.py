"""How a screen is set up: who may see it, and who may change something."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from celery_graceful.web.login.accounts import Accounts
    from celery_graceful.web.safety.forwarded import Network

#: Names by which a browser on the same machine reaches a server.
LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))


@dataclass(frozen=True, slots=True)
class ScreenOptions:
    """How a screen is set up."""

    #: Names that a request's ``Host`` may have; ``None``: any, since the mounting app checks it.
    hosts: frozenset[str] | None = LOOPBACK
    #: The screen's own login; ``None``: the mounting app says who asks.
    accounts: Accounts | None = None
    #: Why nobody may change anything; empty: it depends on the permissions of who asks.
    read_only: str = ""
    #: Where proxies connect from whose ``X-Forwarded-*`` is believed.
    trusted_proxies: tuple[Network, ...] = ()
    #: Ends the names of cookies: browsers do not tell the ports of a host apart.
    cookie_suffix: str = ""
    #: A folder whose templates come before the screen's own: a ``base.html`` with the look of the
    #: mounting framework.
    templates: Path | None = None
