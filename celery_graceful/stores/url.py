"""Opening a store by its URL."""

from __future__ import annotations

import re
import threading

from celery_graceful.errors import SettingsError
from celery_graceful.masking import mask_url
from celery_graceful.stores.base import Store
from celery_graceful.stores.memory import MemoryStore

__all__ = ["open_store"]

#: The schemes of Redis and its kin, and how this package writes them.
_REDIS = {
    "redis": "redis",
    "rediss": "rediss",
    "valkey": "redis",
    "valkeys": "rediss",
    "unix": "unix",
    "redis+socket": "unix",
    "valkey+socket": "unix",
    "socket": "unix",
    "sentinel": "sentinel",
}
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*)://")
_KNOWN = (
    "redis://, rediss://, valkey://, unix://, sentinel://, sqlite:///, postgresql+psycopg:// or "
    "memory://"
)

_memories: dict[tuple[str, str], MemoryStore] = {}
_memories_lock = threading.Lock()


def open_store(
    url: str, namespace: str, *, timeout: float = 2.0, master_name: str | None = None
) -> Store:
    """Make the store that ``url`` names; nothing is connected yet.

    Args:
        url: ``redis://``, ``rediss://``, ``valkey://``, ``unix:///path/to.sock``,
            ``sentinel://host1:26379;sentinel://host2:26379/0?master_name=name``,
            ``sqlite:///file``, ``postgresql+psycopg://…``, any other URL of SQLAlchemy, or
            ``memory://``, which is one store per URL and namespace within a process.
        namespace: Separates the apps that share a store.
        timeout: Seconds to connect, and seconds to wait for an answer.
        master_name: What Sentinel calls the master, unless the URL's query says it.

    Raises:
        SettingsError: The URL cannot be used; the message says why, and what to write instead.
    """
    match = _SCHEME.match(url)
    if match is None:
        raise SettingsError(
            f"graceful_store: {mask_url(url)!r} is no URL. Write one that begins with {_KNOWN}."
        )
    scheme = match["scheme"].lower()
    if scheme == "memory":
        return _memory(url, namespace)
    if scheme in _REDIS:
        return _redis(_REDIS[scheme] + url[len(match["scheme"]) :], namespace, timeout, master_name)
    return _sql(url, scheme, namespace, timeout)


def _memory(url: str, namespace: str) -> MemoryStore:
    with _memories_lock:
        return _memories.setdefault((url, namespace), MemoryStore())


def _redis(url: str, namespace: str, timeout: float, master_name: str | None) -> Store:
    from celery_graceful.stores.redis import RedisStore
    from celery_graceful.stores.redis_client import plan

    connect, between_hosts = plan(url, timeout, master_name)
    return RedisStore(
        connect,
        namespace,
        address=mask_url(url),
        shared_between_hosts=between_hosts,
    )


def _sql(url: str, scheme: str, namespace: str, timeout: float) -> Store:
    if scheme in ("http", "https", "amqp", "amqps", "pyamqp", "rpc", "mongodb", "file", "cache"):
        raise SettingsError(
            f"graceful_store: {mask_url(url)} cannot hold the records of runs. Write a URL "
            f"that begins with {_KNOWN}."
        )
    try:
        import sqlalchemy  # noqa: F401
    except ImportError as exc:
        raise SettingsError(
            f"graceful_store: {mask_url(url)} needs SQLAlchemy, which is not installed: "
            f"pip install 'celery-graceful[sqlalchemy]'. Stores without it begin with redis://."
        ) from exc
    from celery_graceful.stores.sql import SqlStore
    from celery_graceful.stores.sql_engine import make_engine

    return SqlStore(make_engine(url, timeout), namespace, address=mask_url(url))
