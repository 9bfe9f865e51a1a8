"""Which broker an app's messages travel by: its name, and of several the one that answers.

kombu turns to the next one when a broker is away, each connection by itself. Servers that are no
copies of each other have queues of their own then: what a worker quarantines, or sends to resume a
run, has to go to the one that it consumes from.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary, ref

from celery_graceful._celery.worker_parts import connection_of
from celery_graceful.forks import after_fork
from celery_graceful.text.masking import mask_url

#: kombu's strategy "shuffle" may draw the same one again and again.
_ROUNDS = 3

#: The worker of each app that consumes in this process.
_workers: WeakKeyDictionary[Any, ref[Any]] = WeakKeyDictionary()
after_fork(_workers.clear)


def several(given: Any) -> tuple[str, ...]:
    """The URLs of a setting such as ``broker_url``: one, a list, or joined by ``;``."""
    listed = (given,) if isinstance(given, str) else tuple(given or ())
    return tuple(url for part in listed for url in str(part).split(";") if url)


def follow(worker: Any) -> None:
    """From now on this process connects to the broker that ``worker`` consumes from."""
    _workers[worker.app] = ref(worker)


def broker_identity(app: Any) -> str:
    """Names the broker and virtual host of an app, without user or password.

    Some transports of kombu take the whole URL for the host, password included.
    """
    connection = app.connection_for_write()
    transport = connection.transport.driver_type
    host = connection.hostname or "localhost"
    if "://" in host or "@" in host:
        host = mask_url(host)
    port = connection.port or connection.transport.default_port or ""
    return f"{transport}://{host}:{port}/{connection.virtual_host or ''}"


def broker_shown(app: Any) -> str:
    """The same for people: it shows TLS, as ``rediss://`` or ``amqps://``.

    The identity does not: a broker is the same one with and without.
    """
    scheme, sep, rest = broker_identity(app).partition("://")
    connection = app.connection_for_write()
    secured = connection.ssl or str(connection.transport_cls) == f"{scheme}s"
    return f"{scheme}{'s' if secured else ''}{sep}{rest}"


def connection_for_write(app: Any, timeout: float) -> Any:
    """A connection for messages of ``app``; nothing is connected yet.

    Args:
        timeout: Seconds to connect.
    """
    return app.connection_for_write(_consumed_from(app), connect_timeout=timeout)


def limit_silence(connection: Any, timeout: float) -> None:
    """Have a connection that is not open yet raise when its server says nothing for ``timeout``.

    Without it Redis, and a broker behind a firewall that drops packets, are waited for without end.
    """
    limits: dict[str, float] = {}
    if connection.transport.driver_type == "redis":
        limits = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    elif connection.transport.driver_name == "py-amqp":
        limits = {"read_timeout": timeout, "write_timeout": timeout}
    connection.transport_options = {**(connection.transport_options or {}), **limits}


def connect(connection: Any, timeout: float) -> None:
    """Connect, as Celery does: to each of the configured brokers in turn.

    Args:
        connection: kombu's connection.
        timeout: Seconds after which the brokers count as away.

    Raises:
        kombu.exceptions.OperationalError: None of them answers.
    """
    urls = len(connection.alt or ())
    attempts = _ROUNDS * urls if urls > 1 else 1
    connection.ensure_connection(
        max_retries=attempts, interval_start=0, interval_step=0, timeout=timeout
    )


def _consumed_from(app: Any) -> str | None:
    """The URL of the broker that this process consumes from, if there are several; else None."""
    urls = several(app.conf.broker_write_url)
    known = _workers.get(app)
    worker = None if known is None else known()
    if worker is None or len(urls) < 2 or _are_sentinels(urls):
        return None
    connection = connection_of(worker)
    if connection is None or several(app.conf.broker_read_url) != urls:
        return None
    there = _server(connection)
    return next((url for url in urls if _server(app.connection_for_read(url)) == there), None)


def _are_sentinels(urls: tuple[str, ...]) -> bool:
    return urls[0].startswith("sentinel://")


def _server(connection: Any) -> tuple[Any, ...]:
    return connection.transport_cls, connection.hostname, connection.port, connection.virtual_host
