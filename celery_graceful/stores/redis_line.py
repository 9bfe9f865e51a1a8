"""Calling scripts with as little as Redis needs: the store's calls are what a short task pays for.

redis-py's client takes about as long for one call as the server does; its connections are used as
they are, without the pool's bookkeeping.
"""

from __future__ import annotations

from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from celery_graceful.stores.redis_scripts import Script

__all__ = ["Line"]


class Line:
    """Connections of one client, each used by one thread at a time."""

    def __init__(self, client: Redis) -> None:
        self._pool: Any = client.connection_pool
        self._idle: list[Any] = []

    def call(self, script: Script, keys: int, args: tuple[Any, ...]) -> Any:
        """Run a script; raises what redis-py raises."""
        try:
            return self._send(b"EVALSHA", script.sha.encode(), b"%d" % keys, *args)
        except NoScriptError:
            return self._send(b"EVAL", script.source.encode(), b"%d" % keys, *args)

    def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            self._idle.pop().disconnect()

    def _send(self, *args: Any) -> Any:
        connection = self._take()
        try:
            connection.send_packed_command([_packed(args)], check_health=False)
            answer = connection.read_response()
        except ResponseError:
            self._idle.append(connection)
            raise
        except BaseException:
            connection.disconnect()
            raise
        self._idle.append(connection)
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
    try:
        return bool(connection.can_read())
    except (RedisError, OSError):
        return True


def _packed(args: tuple[Any, ...]) -> bytes:
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        data = arg if isinstance(arg, bytes) else str(arg).encode("utf-8", "surrogatepass")
        parts += (b"$%d\r\n" % len(data), data, b"\r\n")
    return b"".join(parts)
