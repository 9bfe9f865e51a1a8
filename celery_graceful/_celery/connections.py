"""What an app connects to its broker and its result backend with, as options of a client.

kombu and Celery read it from many settings: several URLs, TLS, transport options, credential
providers. So they are asked, with nothing opened: what a channel of kombu's Redis transport would
tell its connection pool (``Channel._connparams``), and what Celery's Redis backend has ready for
its own (``connparams``). Tried on Celery 5.5 to 5.7 with kombu 5.5 to 5.7.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from celery.app import backends as _typed_backends
from kombu.utils.imports import symbol_by_name
from kombu.utils.url import url_to_parts

from celery_graceful._celery.message.brokers import several
from celery_graceful.errors import SettingsError
from celery_graceful.forks import after_fork
from celery_graceful.text.masking import mask_text, mask_url

logger = logging.getLogger("celery_graceful.runtime")

backends: Any = _typed_backends

#: Schemes whose transport or backend is one of Redis, in case it cannot even be made.
_REDIS = ("redis", "rediss", "redis+socket", "sentinel")
#: What is for the pool of somebody else, or for messages and results.
_NOT_OURS = ("max_connections", "driver_info", "lib_name", "lib_version")


class Place(NamedTuple):
    """Where a server is, as the app's configuration says."""

    #: The setting that names it.
    setting: str
    #: As written there; the first of several, all Sentinels of one master. For messages.
    url: str
    #: What to connect with, in redis-py's words (and ``sentinels``, ``master_name``,
    #: ``sentinel_kwargs``, ``min_other_sentinels``, ``global_keyprefix``), or SQLAlchemy's.
    options: Callable[[], Mapping[str, Any]]
    #: The other servers that kombu turns to when this one is away, or that others write to.
    others: tuple[str, ...] = ()


# -- the broker ---------------------------------------------------------------------------------


def redis_of_broker(app: Any) -> Place | None:
    """The Redis that an app's messages are sent by; ``None`` if it is another broker.

    Raises:
        SettingsError: kombu cannot use what is configured.
    """
    conf = app.conf
    urls = several(conf.broker_write_url)
    setting = _spelled(conf, _broker_setting(conf))
    first = _whole(urls)
    try:
        connection = app.connection_for_write(first)
        if not _is_redis(connection):
            return None
    except Exception as exc:  # of any transport: a library that is missing, a port that is none
        if _scheme(urls) not in _REDIS:
            return None
        raise _unusable(setting, urls, exc) from exc
    options = _OncePerProcess(partial(_of_broker, app, setting, urls))
    elsewhere = () if _is_sentinel(urls) else urls[1:]
    read_from = tuple(url for url in several(conf.broker_read_url) if url not in urls)
    return Place(setting, _shown(connection, first), options, (*elsewhere, *read_from))


def _whole(urls: tuple[str, ...]) -> list[str]:
    """The URLs that lead to one server: the first, or all Sentinels."""
    return list(urls if _is_sentinel(urls) else urls[:1])


def _broker_setting(conf: Any) -> str:
    names = ("broker_write_url", "broker_url", "broker_host")
    return next((name for name in names if conf.get(name)), "broker_url")


def _scheme(urls: tuple[str, ...]) -> str:
    """That of the first URL; empty where it is the name of a host, such as ``redis``."""
    scheme, separator, _ = urls[0].partition("://") if urls else ("", "", "")
    return scheme.lower() if separator else ""


def _is_sentinel(urls: tuple[str, ...]) -> bool:
    return _scheme(urls) == "sentinel"


def _is_redis(connection: Any) -> bool:
    transport = connection.get_transport_cls()
    return transport.driver_type == "redis" and hasattr(transport.Channel, "_connparams")


def _shown(connection: Any, urls: list[str]) -> str:
    """The address in a URL of Redis, also where ``broker_host`` or a transport names it."""
    if _scheme(tuple(urls)) in _REDIS:
        return ";".join(urls)
    port = connection.port or connection.transport.default_port
    host, database = connection.hostname or "localhost", connection.virtual_host or ""
    return f"redis://{host}:{port}/{database.strip('/')}"


def _of_broker(app: Any, setting: str, urls: tuple[str, ...]) -> dict[str, Any]:
    connection = app.connection_for_write(_whole(urls))
    try:
        channel = _unopened(connection)
        options = _without(channel._connparams(), _NOT_OURS)
    except Exception as exc:  # whatever a transport, or a credential provider, raises
        raise _unusable(setting, urls, exc) from exc
    finally:
        connection.release()
    for name in ("global_keyprefix", "master_name", "sentinel_kwargs", "min_other_sentinels"):
        if getattr(channel, name, None):
            options[name] = getattr(channel, name)
    if hasattr(channel, "_sentinel_managed_pool"):
        port = channel.connection.default_port
        parts = [url_to_parts(url) for url in connection.alt]
        there = [(part.hostname, part.port or port) for part in parts]
        options["sentinels"] = there or [(options["host"], options["port"])]
    return options


def _unopened(connection: Any) -> Any:
    """A channel that knows its options, and has not been asked to connect."""
    transport = connection.transport
    kind = transport.Channel
    channel = kind.__new__(kind)
    channel.connection = transport
    for name in kind.from_transport_options:
        if name in connection.transport_options:
            setattr(channel, name, connection.transport_options[name])
    return channel


# -- the result backend -------------------------------------------------------------------------


def redis_of_backend(app: Any) -> Place | None:
    """The Redis that an app's results are in; ``None`` if they are elsewhere.

    Raises:
        SettingsError: Celery cannot use what is configured.
    """
    given = app.backend_cls or app.conf.result_backend  # as Celery looks for it
    url = _url_of_redis_backend(app, given)
    if url is None:
        return None
    setting = _spelled(app.conf, "result_backend")
    options = _OncePerProcess(partial(_of_backend, app, setting, url or str(given)))
    return Place(setting, url or _url_of(options()), options)


def _url_of_redis_backend(app: Any, given: Any) -> str | None:
    """``None`` for another backend; empty for one that is named without a URL."""
    if isinstance(given, str) and not _may_be_redis(given):
        return None  # the classes of others are not imported ahead of Celery
    from celery.backends.redis import RedisBackend

    try:
        kind, url = backends.by_url(given, app.loader)
    except Exception:  # Celery raises it where the backend is used
        logger.debug("The result backend is no Redis: %.200r cannot be imported", given)
        return None
    if not (isinstance(kind, type) and issubclass(kind, RedisBackend)):
        return None
    if isinstance(given, str) and _scheme((given,)) in _REDIS:
        return given
    return url or ""


def _may_be_redis(given: str) -> bool:
    """Whether it is one of Celery's names for it, or names a class by its path."""
    name, plus, _ = given.partition("://")[0].partition("+")
    return name.lower() in _REDIS or "." in name or (":" in name and not plus)


def _url_of(options: Mapping[str, Any]) -> str:
    """The address in a URL of Redis, of a backend whose class is configured without one."""
    if "path" in options:
        return f"redis+socket://{options['path']}"
    host, port = options.get("host", "localhost"), options.get("port", 6379)
    return f"redis://{host}:{port}/{options.get('db', 0)}"


def _of_backend(app: Any, setting: str, url: str) -> dict[str, Any]:
    try:
        backend = app.backend
        options = _without(backend.connparams, _NOT_OURS)
    except Exception as exc:  # a library that is missing, a port that is none, TLS unlike its URL
        raise _unusable(setting, (url,), exc) from exc
    given = app.conf.get("result_backend_transport_options") or {}
    prefix = given.get("global_keyprefix")
    if prefix:
        options["global_keyprefix"] = f"{prefix}_"  # as Celery's backends join it with a key
    hosts = options.pop("hosts", None)
    if hosts is not None:
        options["sentinels"] = [(host["host"], host["port"]) for host in hosts]
        for name in ("master_name", "sentinel_kwargs", "min_other_sentinels"):
            options[name] = given.get(name)
    return options


def database_of_backend(app: Any) -> Place | None:
    """The database server that an app's results are in, as a URL of SQLAlchemy.

    ``None`` if they are elsewhere, or in a file of SQLite.
    """
    conf = app.conf
    given = conf.result_backend
    if not isinstance(given, str):
        return None
    name, plus, url = given.partition("+")
    setting = "result_backend"
    if given in ("db", "database"):
        setting, url = "database_url", conf.get("database_url") or ""
    elif name not in ("db", "database") or not plus:
        return None
    if "://" not in url or url.startswith("sqlite"):
        return None
    return Place(_spelled(conf, setting), url, partial(_of_database, conf))


def _of_database(conf: Any) -> dict[str, Any]:
    options = dict(conf.get("database_engine_options") or {})
    prepare = conf.get("database_engine_callback")
    if prepare is not None:
        options["engine_callback"] = (
            symbol_by_name(prepare) if isinstance(prepare, str) else prepare
        )
    return options


# -- both ---------------------------------------------------------------------------------------


class _OncePerProcess:
    """Asks once, and again after a fork: a provider of credentials may have a thread."""

    def __init__(self, read: Callable[[], dict[str, Any]]) -> None:
        self._read = read
        self._found: dict[str, Any] | None = None
        after_fork(self._forget)

    def __call__(self) -> dict[str, Any]:
        found = self._found
        if found is None:
            found = self._found = self._read()
        return dict(found)

    def _forget(self) -> None:
        self._found = None


def _spelled(conf: Any, name: str) -> str:
    """A setting's name as the app writes it, such as ``CELERY_BROKER_URL`` under Django."""
    full = f"{getattr(conf, 'prefix', None) or ''}{name}"
    return full.upper() if full[0].isupper() else full


def _without(options: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in names}


def _unusable(setting: str, urls: tuple[str, ...], exc: Exception) -> SettingsError:
    shown = ";".join(mask_url(url) for url in urls)
    return SettingsError(
        f"What Celery connects to {setting} = {shown!r} with cannot be read:"
        f" {mask_text(repr(exc), *urls)}. Correct {setting} and its options, or set graceful_store,"
        " which then names where runs are kept."
    )
