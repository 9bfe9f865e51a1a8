"""Opening a store by its URL."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any

from celery_graceful.errors import SettingsError
from celery_graceful.stores import third_party
from celery_graceful.stores.base import Store
from celery_graceful.stores.memory_store import MemoryStore
from celery_graceful.stores.origin import Derived, address_of, setting_of
from celery_graceful.text.masking import mask_url

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
    "redis+cluster": "redis+cluster",
    "rediss+cluster": "rediss+cluster",
    "valkey+cluster": "redis+cluster",
    "valkeys+cluster": "rediss+cluster",
}
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*)://")
_KNOWN = (
    "redis://, rediss://, valkey://, unix://, sentinel://, redis+cluster://, sqlite:///, "
    "postgresql+psycopg://, django:// or memory://"
)

_memories: dict[tuple[str, str], MemoryStore] = {}
_memories_lock = threading.Lock()


def open_store(
    url: str,
    namespace: str,
    *,
    timeout: float = 2.0,
    options: Mapping[str, Any] | None = None,
    derived: Derived | None = None,
) -> Store:
    """Make the store that ``url`` names; nothing is connected yet.

    Args:
        url: ``redis://``, ``rediss://``, ``valkey://``, ``unix:///path/to.sock``,
            ``sentinel://host1:26379;sentinel://host2:26379/0?master_name=name``,
            ``redis+cluster://host``, ``rediss+cluster://host``, ``sqlite:///file``,
            ``postgresql+psycopg://…``, any other URL of SQLAlchemy, ``django://alias`` for a
            database of Django's, or ``memory://``, which is one store per URL and namespace within
            a process. Also the scheme of an entry point of
            another package, or ``package.module.Class+`` before any URL.
        namespace: Separates the apps that share a store.
        timeout: Seconds to connect, and seconds to wait for an answer.
        options: Further options of the client: ``graceful_store_options``.
        derived: Where the store was found, if no setting names it.

    Raises:
        SettingsError: The URL or an option cannot be used; the message says why, and what to write
            instead.
    """
    match = _SCHEME.match(url)
    scheme = "" if match is None else match["scheme"].lower()
    if match is not None and scheme in _REDIS:
        known = _as_redis(url, match["scheme"])
        return _redis(known, namespace, timeout, options, derived)
    if scheme == "memory":
        return _memory(url, namespace)
    store = third_party.opened(url, namespace, timeout, options)
    if store is not None:
        return store
    if match is None:
        raise SettingsError(
            f"graceful_store: {mask_url(url)!r} is no URL. Write one that begins with {_KNOWN}."
        )
    return _sql(url, scheme, namespace, timeout, options, derived)


def files_of(
    url: str, options: Mapping[str, Any] | None = None, derived: Derived | None = None
) -> list[str]:
    """The certificates and keys that the client of a Redis store is to read, as configured.

    Raises:
        SettingsError: As :func:`open_store` does.
    """
    match = _SCHEME.match(url)
    if match is None or match["scheme"].lower() not in _REDIS:
        return []
    from celery_graceful.stores.redis.client import tls_files

    return tls_files(_as_redis(url, match["scheme"]), options, derived)


def _as_redis(url: str, scheme: str) -> str:
    """The URL, or each of several, with the scheme that this package writes."""
    known = _REDIS[scheme.lower()]
    return ";".join(
        known + part[len(scheme) :] if part.lower().startswith(f"{scheme.lower()}://") else part
        for part in url.split(";")
    )


def _memory(url: str, namespace: str) -> MemoryStore:
    with _memories_lock:
        return _memories.setdefault((url, namespace), MemoryStore())


def _redis(
    url: str,
    namespace: str,
    timeout: float,
    options: Mapping[str, Any] | None,
    derived: Derived | None,
) -> Store:
    from celery_graceful.stores.redis.client import plan
    from celery_graceful.stores.redis.store import RedisStore

    connect, between_hosts, prefix = plan(url, timeout, options, derived)
    return RedisStore(
        connect,
        namespace,
        address=address_of(url, derived),
        setting=setting_of(derived),
        prefix=prefix,
        shared_between_hosts=between_hosts,
    )


def _sql(
    url: str,
    scheme: str,
    namespace: str,
    timeout: float,
    options: Mapping[str, Any] | None,
    derived: Derived | None,
) -> Store:
    if scheme in ("http", "https", "amqp", "amqps", "pyamqp", "rpc", "mongodb", "file", "cache"):
        raise SettingsError(
            f"graceful_store: {mask_url(url)} cannot hold the records of runs. Write a URL "
            f"that begins with {_KNOWN}, or install the package whose entry point "
            f"({third_party.GROUP}) makes stores of {scheme}://."
        )
    extra = "django" if scheme == "django" else "sqlalchemy"
    try:
        import sqlalchemy  # noqa: F401
    except ImportError as exc:
        raise SettingsError(
            f"graceful_store: {mask_url(url)} needs SQLAlchemy, which is not installed: "
            f"pip install 'celery-graceful[{extra}]'. Stores without it begin with redis://."
        ) from exc
    if scheme == "django":
        return _django(url, namespace, timeout, options)
    from celery_graceful.stores.sql.engine import make_engine
    from celery_graceful.stores.sql.store import SqlStore

    engine = make_engine(url, timeout, options, derived)
    return SqlStore(engine, namespace, address=address_of(url, derived))


def _django(url: str, namespace: str, timeout: float, options: Mapping[str, Any] | None) -> Store:
    from celery_graceful.stores.sql.django_alias import make_django_engine
    from celery_graceful.stores.sql.store import DjangoStore

    return DjangoStore(make_django_engine(url, timeout, options), namespace, address=url)
