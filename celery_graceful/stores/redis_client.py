"""Redis clients of store URLs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import Connection, ConnectionPool, parse_url
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel

from celery_graceful.errors import SettingsError
from celery_graceful.masking import mask_text, mask_url

__all__ = ["Plan", "plan"]

_SENTINEL_PORT = 26379
#: What this package reads, whatever the URL says.
_ALWAYS: dict[str, Any] = {"protocol": 2}
#: Connections are as many as threads call at a time; redis-py would count failed ones for ever.
_UNBOUNDED = 2**31
#: Celery's spelling of what redis-py calls none, optional and required.
_CELERY_CERT = "CERT_"


class Plan(NamedTuple):
    """How to make clients of one server, and whether other hosts can reach it."""

    connect: Callable[[], Redis]
    shared_between_hosts: bool


def plan(url: str, timeout: float, master_name: str | None = None) -> Plan:
    """Read ``url``; nothing is connected yet, and neither is a client that the plan makes.

    Args:
        url: ``redis://``, ``rediss://``, ``unix://`` or ``sentinel://`` with one or more hosts.
        timeout: Seconds to connect, and seconds to wait for an answer.
        master_name: What Sentinel calls the master, unless the URL's query says it.

    Raises:
        SettingsError: The URL cannot be used.
    """
    try:
        if url.startswith("sentinel://"):
            return Plan(_sentinel(url, timeout, master_name), True)
        return _direct(url, timeout)
    except (ValueError, TypeError, RedisError) as exc:
        why = mask_text(str(exc), url)
        raise SettingsError(
            f"graceful_store: {mask_url(url)} cannot be used: {why}. Write it like "
            "redis://:password@host:6379/0, unix:///path/to/redis.sock?db=0 or "
            "sentinel://host1:26379;sentinel://host2:26379/0?master_name=mymaster, with special "
            "characters of the password percent-encoded."
        ) from None  # the cause may quote a password


def _options(timeout: float) -> dict[str, Any]:
    # Nothing is sent twice: whoever calls the store knows better whether to ask again.
    return {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "socket_keepalive": True,
        "retry": Retry(NoBackoff(), 0),
    }


def _direct(url: str, timeout: float) -> Plan:
    given = _parsed(url)
    options = {**_options(timeout), **given, **_ALWAYS, "max_connections": _UNBOUNDED}
    if "path" in options:
        del options["socket_keepalive"]
    pool = ConnectionPool(**options)
    # Made and dropped unconnected, so that a misspelled option is told now and not in a worker.
    pool.connection_class(**pool.connection_kwargs)
    return Plan(lambda: Redis(connection_pool=ConnectionPool(**options)), "path" not in options)


def _sentinel(url: str, timeout: float, master_name: str | None) -> Callable[[], Redis]:
    hosts: list[tuple[str, int]] = []
    given: dict[str, Any] = {}
    for part in url.split(";"):
        if not part.startswith("sentinel://"):
            raise ValueError("every part of a sentinel URL begins with sentinel://")
        found = _parsed("redis" + part.removeprefix("sentinel"))
        hosts.append((found.pop("host", "localhost"), found.pop("port", _SENTINEL_PORT)))
        given = {**found, **given}
    name = given.pop("master_name", None) or master_name
    if not name:
        raise ValueError(
            "Sentinel has to be told which master: add ?master_name=… at the end of the URL"
        )
    options = _options(timeout)
    login = {
        key: given.pop(f"sentinel_{key}")
        for key in ("username", "password")
        if f"sentinel_{key}" in given
    }
    given.pop("max_connections", None)
    for_master = {**options, **given, **_ALWAYS}
    _make(Connection, **for_master)

    def connect() -> Redis:
        sentinel = _make(Sentinel, hosts, sentinel_kwargs={**options, **login}, **for_master)
        client: Redis = sentinel.master_for(str(name), max_connections=_UNBOUNDED)
        return client

    return connect


def _make(kind: Callable[..., Any], *args: Any, **options: Any) -> Any:
    # redis-py types some constructors only in part.
    return kind(*args, **options)


def _parsed(url: str) -> dict[str, Any]:
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
    whole = f"{scheme}://{host}{path}?{urlencode(values)}"
    parsed: dict[str, Any] = _make(parse_url, whole)
    return parsed
