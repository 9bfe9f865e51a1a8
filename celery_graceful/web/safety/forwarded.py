"""What a trusted proxy says of the browser's request: ``X-Forwarded-For``, ``-Proto`` and so on.

Anybody can send these headers. They are read only if the peer is a trusted proxy, and of lists only
what trusted proxies have added: ``X-Forwarded-For`` is walked from its right end until an address
that is no trusted proxy, which is the client's. See
https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/X-Forwarded-For.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from celery_graceful.errors import SettingsError
from celery_graceful.text.printable import printable

if TYPE_CHECKING:
    from celery_graceful.web.http import Request

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_HOST = re.compile(r"[\w.\-]{1,255}(?::\d{1,5})?|\[[0-9a-f:.]{2,45}\](?::\d{1,5})?", re.I | re.A)
#: No ``//``, which would be another host, and no ``..``.
_PREFIX = re.compile(r"(?:/(?!\.\.?(?:/|$))[\w.~\-]{1,100}){1,10}", re.ASCII)
_PORT = re.compile(r"[1-9]\d{0,4}", re.ASCII)
#: Browsers leave them off.
_DEFAULT_PORTS = ("80", "443")


def trusted_networks(given: Iterable[str]) -> tuple[Network, ...]:
    """The networks of ``--trusted-proxy``.

    Args:
        given: addresses and networks, such as ``10.0.0.7``, ``10.42.0.0/16``, ``fd00::/8``.

    Raises:
        SettingsError: one is something else, or holds everybody.
    """
    return tuple(_network(each.strip()) for each in given)


def _network(given: str) -> Network:
    shown = printable(given[:100])
    try:
        network = ipaddress.ip_network(given, strict=False)
    except ValueError:
        raise SettingsError(
            f"--trusted-proxy {shown}: this is no address and no network. Write the address that"
            " the proxy connects from, such as 127.0.0.1, or its network, such as 10.42.0.0/16."
        ) from None
    if network.prefixlen == 0:
        raise SettingsError(
            f"--trusted-proxy {shown}: everybody could say who they are. Write the network that"
            " the proxy connects from, such as 10.42.0.0/16."
        )
    return network


def seen_by_browser(request: Request, trusted: tuple[Network, ...]) -> Request:
    """The request as the browser sent it to the outermost trusted proxy.

    Args:
        request: as it has arrived.
        trusted: where trusted proxies connect from; empty: the headers are ignored.
    """
    peer = _address(request.address)
    if peer is None or not _is_in(peer, trusted):
        return request
    client, hops = _client(peer, _list(request, "for"), trusted)
    proto = _added(_list(request, "proto"), hops).lower()
    prefix = _added(_list(request, "prefix"), hops).rstrip("/")
    return replace(
        request,
        address=str(client),
        secure=proto == "https" if proto in ("http", "https") else request.secure,
        forwarded_host=_host(request, hops),
        mount=prefix + request.mount if _PREFIX.fullmatch(prefix) else request.mount,
    )


def _client(peer: _Address, chain: list[str], trusted: tuple[Network, ...]) -> tuple[_Address, int]:
    """The client's address, and how many trusted proxies its request has passed."""
    hops, known = 1, peer
    for each in reversed(chain):
        address = _address(each)
        if address is None:  # "unknown", or a name: the proxy before it is all that is known
            return known, hops
        known = address
        if not _is_in(address, trusted):
            return known, hops
        hops += 1
    return known, min(hops, len(chain) or 1)  # the client is in a trusted network itself


def _host(request: Request, hops: int) -> str:
    """The host that the browser named, with an odd port that a proxy has left off; or nothing."""
    given = _added(_list(request, "host"), hops)
    host = given if _HOST.fullmatch(given) else ""
    port = _added(_list(request, "port"), hops)
    if not _PORT.fullmatch(port) or port in _DEFAULT_PORTS:
        return host
    whole = host or request.header("host").strip()
    bare = whole.endswith("]") if whole.startswith("[") else ":" not in whole
    return f"{whole}:{port}" if whole and bare else host


def _list(request: Request, name: str) -> list[str]:
    given = request.header(f"x-forwarded-{name}")
    return [each.strip() for each in given.split(",") if each.strip()]


def _added(values: list[str], hops: int) -> str:
    """What the outermost of the trusted proxies has added to a list, or the only one who did."""
    return values[max(-hops, -len(values))] if values else ""


def _address(text: str) -> _Address | None:
    """An address with or without a port; ``None``: it is none."""
    text = text.strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_in(address: _Address, networks: tuple[Network, ...]) -> bool:
    return any(address.version == each.version and address in each for each in networks)
