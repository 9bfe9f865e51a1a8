"""Calling scripts with as little as Redis needs: the store's calls are what a short task pays for.

redis-py's client takes longer for one call than the server does. Its connections are kept, with
all they know of passwords, certificates and sentinels; what goes over their sockets is written and
read here. Private to redis-py, tried on 5.2 to 8.1: ``Connection._sock``.
"""

from __future__ import annotations

import select
from abc import ABC, abstractmethod
from itertools import chain
from typing import Any

from redis import Redis
from redis.exceptions import (
    ConnectionError,
    NoScriptError,
    ReadOnlyError,
    ResponseError,
)

from celery_graceful.stores.redis.reply import read
from celery_graceful.stores.redis.scripts import Script

_RECEIVE = 16384
_KINDS: dict[str, type[ResponseError]] = {"NOSCRIPT": NoScriptError, "READONLY": ReadOnlyError}


class Line(ABC):
    """How a store reaches its server."""

    @abstractmethod
    def call(self, script: Script, keys: int, args: tuple[bytes, ...]) -> Any:
        """Run a script; raises what redis-py raises, or :exc:`OSError`.

        Args:
            keys: How many of the arguments, from the first on, are keys.
        """

    @abstractmethod
    def server(self, key: bytes) -> Redis:
        """A client of the server that has ``key``."""

    @abstractmethod
    def close(self) -> None:
        """Close the connections; the next call opens new ones."""

    @abstractmethod
    def reconnect(self) -> None:
        """A demoted master has answered: connect anew, its name may lead to the new one by now."""


class ServerLine(Line):
    """Connections of one client, each used by one thread at a time."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._pool: Any = client.connection_pool
        self._idle: list[Any] = []

    def call(self, script: Script, keys: int, args: tuple[bytes, ...]) -> Any:
        try:
            return self._send(b"EVALSHA", script.sha, b"%d" % keys, *args)
        except NoScriptError:
            return self._send(b"EVAL", script.source.encode(), b"%d" % keys, *args)

    def server(self, key: bytes) -> Redis:
        return self._client

    def close(self) -> None:
        self._pool.disconnect()
        self._drop_idle()

    def reconnect(self) -> None:
        self._pool.disconnect(inuse_connections=False)
        self._drop_idle()

    def _drop_idle(self) -> None:
        while self._idle:
            self._idle.pop().disconnect()

    def _send(self, *args: bytes) -> Any:
        connection = self._take()
        try:
            connection._sock.sendall(_packed(args))
            answer = _answer(connection._sock)
        except BaseException:
            connection.disconnect()
            raise
        self._idle.append(connection)
        if isinstance(answer, ResponseError):
            raise answer
        return answer

    def _take(self) -> Any:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._pool.make_connection()
            connection.connect()
            return connection
        if _is_stale(connection):
            connection.disconnect()
            connection.connect()
        return connection


def _is_stale(connection: Any) -> bool:
    """Whether the server has closed an idle connection, or sent what nobody asked for."""
    look = select.poll()
    look.register(connection._sock, select.POLLIN)
    return bool(look.poll(0))


def _answer(socket: Any) -> Any:
    def receive() -> bytes:
        data: bytes = socket.recv(_RECEIVE)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data

    return read(receive, _error)


def _error(said: str) -> ResponseError:
    return _KINDS.get(said.partition(" ")[0], ResponseError)(said)


def _packed(args: tuple[bytes, ...]) -> bytes:
    parts = b"*%d\r\n" % len(args) + b"$%d\r\n%b\r\n" * len(args)
    return parts % tuple(chain.from_iterable(zip(map(len, args), args, strict=True)))
