"""Calling scripts with as little as Redis needs: the store's calls are what a short task pays for.

redis-py's client takes longer for one call than the server does. Its connections are kept, with
all they know of passwords, certificates and sentinels; what goes over their sockets is written and
read here. Private to redis-py, tried on 5.2 to 8.1: ``Connection._sock``.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Any

from redis import Redis
from redis.exceptions import (
    ConnectionError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from celery_graceful.stores.redis_reply import Incomplete, parse
from celery_graceful.stores.redis_scripts import Script

__all__ = ["Hear", "Line"]

#: Gets the answer of a script, or the error instead of one.
Hear = Callable[[Any], None]

#: An answer that was not waited for is asked after when it has been due for so many seconds.
ANSWER = 0.2
_RECEIVE = 65536
_KINDS: dict[str, type[ResponseError]] = {"NOSCRIPT": NoScriptError, "READONLY": ReadOnlyError}


class Line:
    """Connections of one client, each used by one thread at a time."""

    def __init__(self, client: Redis) -> None:
        self._pool: Any = client.connection_pool
        self._idle: list[Any] = []
        #: Connections with an answer on its way: since when, and who wants to hear it.
        self._owing: list[tuple[Any, float, Hear]] = []
        self._known: set[bytes] = set()

    def call(self, script: Script, keys: int, args: tuple[Any, ...]) -> Any:
        """Run a script; raises what redis-py raises, or :exc:`OSError`."""
        try:
            answer = self._send(b"EVALSHA", script.sha, b"%d" % keys, *args)
        except NoScriptError:
            answer = self._send(b"EVAL", script.source.encode(), b"%d" % keys, *args)
        self._known.add(script.sha)
        return answer

    def tell(self, script: Script, keys: int, args: tuple[Any, ...], hear: Hear) -> None:
        """Run a script without waiting for its answer.

        ``hear`` gets the answer or the error, before the next call or in :meth:`settle`. Raises
        like :meth:`call` when nothing could be sent.
        """
        if script.sha not in self._known:
            hear(self.call(script, keys, args))
            return
        connection = self._take()
        try:
            connection._sock.sendall(_packed((b"EVALSHA", script.sha, b"%d" % keys, *args)))
        except BaseException:
            connection.disconnect()
            raise
        self._owing.append((connection, time.monotonic(), hear))

    def unsettled(self) -> bool:
        """Whether an answer has been due for longer than an answer takes."""
        try:
            return time.monotonic() - self._owing[0][1] > ANSWER
        except IndexError:
            return False

    def settle(self) -> None:
        """Wait for the answers that are due."""
        while True:
            try:
                connection, _, hear = self._owing.pop(0)
            except IndexError:
                return
            self._hear(connection, hear)

    def close(self) -> None:
        """Close the connections that are not in use."""
        self.settle()
        while self._idle:
            self._idle.pop().disconnect()

    def _hear(self, connection: Any, hear: Hear) -> None:
        answer: Any
        try:
            answer = _receive(connection._sock)
        except (RedisError, OSError) as exc:
            connection.disconnect()
            answer = exc
        except BaseException:
            connection.disconnect()
            raise
        else:
            self._idle.append(connection)
        if isinstance(answer, NoScriptError):
            self._known.clear()
        hear(answer)

    def _send(self, *args: Any) -> Any:
        connection = self._take()
        try:
            connection._sock.sendall(_packed(args))
            answer = _receive(connection._sock)
        except BaseException:
            connection.disconnect()
            raise
        self._idle.append(connection)
        if isinstance(answer, ResponseError):
            raise answer
        return answer

    def _take(self) -> Any:
        if self._owing:
            self.settle()
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


def _receive(socket: Any) -> Any:
    data = b""
    while True:
        more = socket.recv(_RECEIVE)
        if not more:
            raise ConnectionError("the server closed the connection")
        data = data + more if data else more
        try:
            answer, end = parse(data, _error)
        except Incomplete:
            continue
        if end != len(data):
            raise ConnectionError("the server sent more than was asked for")
        return answer


def _error(said: str) -> ResponseError:
    return _KINDS.get(said.partition(" ")[0], ResponseError)(said)


def _packed(args: tuple[Any, ...]) -> bytes:
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        data = arg if type(arg) is bytes else str(arg).encode("utf-8", "surrogatepass")
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)
