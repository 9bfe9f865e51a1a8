"""Store URLs of Redis, as options of redis-py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from redis.connection import parse_url

#: Options that redis-py does not know: hosts and ports of Sentinels, or of nodes of a cluster.
SENTINELS, NODES = "sentinels", "nodes"

_PORT, _SENTINEL_PORT = 6379, 26379
#: Celery's spelling of what redis-py calls none, optional and required.
_CELERY_CERT = "CERT_"
#: The schemes of several hosts: the option that names them, their port, and one host's scheme.
_SEVERAL = {
    "sentinel": (SENTINELS, _SENTINEL_PORT, "redis"),
    "redis+cluster": (NODES, _PORT, "redis"),
    "rediss+cluster": (NODES, _PORT, "rediss"),
}


def parsed(url: str) -> dict[str, Any]:
    """What a URL says.

    Args:
        url: Its scheme is ``redis``, ``rediss``, ``unix``, ``sentinel``, ``redis+cluster`` or
            ``rediss+cluster``; the last three take several URLs, joined by ``;``.

    Raises:
        ValueError: It cannot be read.
    """
    scheme = url.partition("://")[0]
    if scheme not in _SEVERAL:
        return _one(url)
    option, port, single = _SEVERAL[scheme]
    hosts: list[tuple[str, int]] = []
    given: dict[str, Any] = {}
    for part in url.split(";"):
        if not part.startswith(f"{scheme}://"):
            raise ValueError(f"every part of a {scheme} URL begins with {scheme}://")
        found = _one(single + part.removeprefix(scheme))
        found.pop("connection_class", None)
        hosts.append((found.pop("host", "localhost"), found.pop("port", port)))
        given = {**found, **given}
    if single == "rediss":
        given["ssl"] = True
    return {**given, option: hosts}


def _one(url: str) -> dict[str, Any]:
    scheme, host, path, query, fragment = urlsplit(url)
    if scheme != "unix" and "@" in path + query + fragment:
        # Said without a look at the parts: one of them is the rest of a password.
        raise ValueError("a special character in it is not percent-encoded")
    values = {name: last[-1] for name, last in parse_qs(query).items()}
    # The database, as Celery and kombu write it in the URL of a socket.
    database = values.pop("virtual_host", None)
    if scheme != "unix" and database is None:
        database = unquote(path).strip("/")
    if database and not database.strip("/").isdigit():
        raise ValueError(f"the database is {database!r}, not a number")
    if database:
        values["db"] = database.strip("/")
    certificates = values.get("ssl_cert_reqs", "")
    if certificates.startswith(_CELERY_CERT):
        values["ssl_cert_reqs"] = certificates.removeprefix(_CELERY_CERT).lower()
    if scheme == "unix" and not path:
        raise ValueError("the path of the socket is missing")
    read: Callable[[str], dict[str, Any]] = parse_url  # redis-py does not type it
    return read(f"{scheme}://{host}{path}?{urlencode(values)}")
