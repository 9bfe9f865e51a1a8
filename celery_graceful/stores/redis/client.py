"""Connections to Redis: from URLs with their options, and from what Celery connects with."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import Connection, ConnectionPool, SSLConnection
from redis.credentials import CredentialProvider
from redis.exceptions import RedisClusterException, RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel

from celery_graceful.errors import SettingsError
from celery_graceful.stores.origin import Derived, address_of, setting_of
from celery_graceful.stores.redis.script_calls import ClusterCaller, ScriptCaller, ServerCaller
from celery_graceful.stores.redis.url import NODES, SENTINELS, parsed
from celery_graceful.text.masking import mask_text

#: What this package reads, whatever the URL says.
_ALWAYS: dict[str, Any] = {"protocol": 2, "decode_responses": False}
#: Connections are as many as threads call at a time; redis-py would count failed ones for ever.
_UNBOUNDED = 2**31
#: ``graceful_store_timeout`` bounds the calls of a store, whatever the broker's own calls may
#: take; and nothing is sent twice.
_NOT_DERIVED = ("socket_timeout", "socket_connect_timeout", "retry_on_timeout", "retry")
#: Options that name files.
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
#: What a connection over a socket of the file system does not have.
_OF_TCP = ("host", "port", "socket_keepalive", "socket_keepalive_options")


class Plan(NamedTuple):
    """How to connect to a store, and whether other hosts can reach it."""

    connect: Callable[[], ScriptCaller]
    shared_between_hosts: bool
    #: All its keys begin with this.
    prefix: str


def plan(
    url: str,
    timeout: float,
    options: Mapping[str, Any] | None = None,
    derived: Derived | None = None,
) -> Plan:
    """Read how to connect; nothing is connected yet, and neither is what the plan makes.

    Args:
        url: ``redis://``, ``rediss://``, ``unix://``, ``sentinel://`` or ``redis+cluster://``
            with one or more hosts.
        timeout: Seconds to connect, and seconds to wait for an answer.
        options: ``graceful_store_options``; they win.
        derived: Where the store was found, if no setting names it; then its options take the place
            of the URL, which is for messages.

    Raises:
        SettingsError: The URL or an option cannot be used.
    """

    def read() -> dict[str, Any]:
        return _read(url, options or {}, derived, timeout)

    def connect() -> ScriptCaller:
        return _line(read())

    try:
        given = read()
        prefix = given.get("global_keyprefix") or ""
        _line(given)
    except (ValueError, TypeError, ImportError, RedisError, RedisClusterException) as exc:
        why = mask_text(str(exc), url)
        raise SettingsError(
            f"graceful_store: {address_of(url, derived)} cannot be used: {why}."
            f" {_advice(url, derived)}"
        ) from None  # the cause may quote a password
    return Plan(connect, "path" not in given, prefix)


def tls_files(
    url: str, options: Mapping[str, Any] | None = None, derived: Derived | None = None
) -> list[str]:
    """The files of certificates and keys that a store's client is to read, as configured.

    Raises:
        SettingsError: The URL or an option cannot be used.
    """
    given = _read(url, options or {}, derived, 1.0)
    return [str(given[name]) for name in _FILES if given.get(name)]


def _advice(url: str, derived: Derived | None) -> str:
    if derived is not None:
        return f"Correct {setting_of(derived)} and its options, or set graceful_store."
    if url.startswith("sentinel://"):
        return (
            "Write sentinel://host1:26379;sentinel://host2:26379/0?master_name=mymaster, or name"
            ' the master in graceful_store_options = {"master_name": "mymaster"}.'
        )
    return (
        "Write it like redis://:password@host:6379/0, unix:///path/to/redis.sock?db=0 or "
        "redis+cluster://host:6379, with special characters of the password percent-encoded, and "
        "options of the client in graceful_store_options."
    )


def _read(
    url: str, options: Mapping[str, Any], derived: Derived | None, timeout: float
) -> dict[str, Any]:
    """All that is known: redis-py's names, and a few of kombu's."""
    if derived is None:
        found = parsed(url)
    else:
        found = {k: v for k, v in derived.options().items() if k not in _NOT_DERIVED}
    found.update(_flat(options))
    provider = _provider_of(found.pop("credential_provider", None))
    if provider is not None:
        # As kombu and Celery do: redis-py takes either of the two.
        found = {k: v for k, v in found.items() if k not in ("username", "password")}
        found["credential_provider"] = provider
    whole = {**_waits(timeout), "socket_keepalive": True, **found, **_ALWAYS}
    if "path" in whole:
        whole = {k: v for k, v in whole.items() if k not in _OF_TCP}
    return whole


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as a user writes them: TLS as in ``broker_use_ssl`` as well."""
    given = {**options, **dict(options["ssl"])} if _is_mapping(options.get("ssl")) else {**options}
    if any(name.startswith("ssl") and name != "ssl" for name in given):
        given["ssl"] = True
    reqs = given.get("ssl_cert_reqs")
    if isinstance(reqs, str):
        given["ssl_cert_reqs"] = reqs.removeprefix("CERT_").lower()
    return given


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


def _waits(timeout: float) -> dict[str, Any]:
    # Nothing is sent twice: whoever calls the store knows better whether to ask again.
    return {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
    }


def _line(given: Mapping[str, Any]) -> ScriptCaller:
    """A line that is not connected."""
    rest = {k: v for k, v in given.items() if k not in ("global_keyprefix", "max_connections")}
    of_sentinel = {
        name: rest.pop(name, None)
        for name in ("master_name", "sentinel_kwargs", "min_other_sentinels")
    }
    if NODES in rest:
        return _cluster(rest)
    if SENTINELS in rest:
        return _sentinel(rest, **of_sentinel)
    return _direct(rest)


def _direct(rest: dict[str, Any]) -> ScriptCaller:
    secure = rest.pop("ssl", False)
    if secure and "path" not in rest:
        rest.setdefault("connection_class", SSLConnection)
    options = {**rest, "max_connections": _UNBOUNDED}
    pool = ConnectionPool(**options)
    # Made and dropped unconnected, so that a misspelled option is found now and not in a worker.
    pool.connection_class(**pool.connection_kwargs)
    return ServerCaller(Redis(connection_pool=pool))


def _sentinel(
    rest: dict[str, Any],
    master_name: Any,
    sentinel_kwargs: Any,
    min_other_sentinels: Any,
) -> ScriptCaller:
    if not master_name:
        raise ValueError("Sentinel needs the name of its master (master_name)")
    hosts = rest.pop(SENTINELS)
    waits = {name: rest[name] for name in ("socket_timeout", "socket_connect_timeout", "retry")}
    login = {
        key.removeprefix("sentinel_"): rest.pop(key)
        for key in ("sentinel_username", "sentinel_password")
        if key in rest
    }
    for_sentinels = {**(sentinel_kwargs or {}), **login, **waits}
    plain = {k: v for k, v in rest.items() if k not in ("host", "port", "connection_class", "ssl")}
    kind = SSLConnection if any(name.startswith("ssl") for name in plain) else Connection
    _make(kind, **plain)
    sentinel = _make(
        Sentinel,
        hosts,
        min_other_sentinels=min_other_sentinels or 0,
        sentinel_kwargs=for_sentinels,
        **rest,
    )
    return ServerCaller(sentinel.master_for(str(master_name), max_connections=_UNBOUNDED))


def _cluster(rest: dict[str, Any]) -> ScriptCaller:
    if rest.pop("db", 0):
        raise ValueError("a Redis Cluster has no database but 0")
    nodes = rest.pop(NODES)
    secure = rest.get("ssl", False)
    plain = {k: v for k, v in rest.items() if k not in ("host", "port", "ssl")}
    _make(SSLConnection if secure else Connection, **plain)
    return ClusterCaller(nodes, {**plain, "ssl": bool(secure), "max_connections": _UNBOUNDED})


def _make(kind: Callable[..., Any], *args: Any, **options: Any) -> Any:
    # redis-py types some constructors only in part.
    return kind(*args, **options)


def _provider_of(named: Any) -> CredentialProvider | None:
    """The provider that ``named`` is or names (``module.Class``); a new one for each call.

    Raises:
        ImportError: there is no such class.
        ValueError: it is no credential provider.
    """
    if named is None or isinstance(named, CredentialProvider):
        return named
    made = _named(named)() if isinstance(named, str) else named
    if not isinstance(made, CredentialProvider):
        raise ValueError(f"{_called(named)} is not a redis.CredentialProvider")
    return made


def _called(named: Any) -> str:
    return f"the credential provider {named if isinstance(named, str) else type(named).__name__}"


def _named(path: str) -> Any:
    module, dot, name = path.replace(":", ".").rpartition(".")
    if not dot:
        raise ImportError(f"the credential provider is {path!r}; write module.Class")
    try:
        return getattr(importlib.import_module(module), name)
    except AttributeError:
        raise ImportError(f"{module} has no {name}, which is to provide credentials") from None
