"""Calling scripts on one server, on Sentinel's master or in a cluster.

A short run pays for two calls of the store, so a single server is not called through redis-py's
client: that takes about twice the processor time (40 µs for a swap, 35 µs with hiredis). Commands
go over redis-py's connections by their public methods (21 µs, 19 µs with hiredis), which is what
a RESP parser of our own on the bare socket takes as well.

In a cluster redis-py's client finds the node, and follows when slots move. All keys of a namespace
are in one slot, so a call goes to one node. Nothing is sent twice except what a node refused
because the slot is elsewhere. Tried on redis-py 5.2 to 8.1.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

from redis import VERSION, Redis
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import NoScriptError, RedisError, ResponseError

from celery_graceful.stores.redis.scripts import Script


class ScriptCaller(ABC):
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


class ServerCaller(ScriptCaller):
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
            connection.send_packed_command((_packed(args),), check_health=False)
            answer = connection.read_response(disable_decoding=True)
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
        return bool(connection.can_read(0))
    except (RedisError, OSError):
        return True


def _packed(args: tuple[bytes, ...]) -> bytes:
    parts = b"*%d\r\n" % len(args) + b"$%d\r\n%b\r\n" * len(args)
    return parts % tuple(chain.from_iterable(zip(map(len, args), args, strict=True)))


class ClusterCaller(ScriptCaller):
    """Connections to a cluster, shared by all threads of a process.

    Args:
        nodes: Hosts and ports of some of its nodes; the others are asked for.
        options: What connections are made with.
    """

    def __init__(self, nodes: list[tuple[str, int]], options: Mapping[str, Any]) -> None:
        self._nodes = nodes
        self._options = options
        self._lock = threading.Lock()
        self._client: Any = None

    def call(self, script: Script, keys: int, args: tuple[bytes, ...]) -> Any:
        client = self._connected()
        try:
            return client.execute_command("EVALSHA", script.sha, keys, *args)
        except NoScriptError:
            return client.execute_command("EVAL", script.source, keys, *args)

    def server(self, key: bytes) -> Redis:
        client = self._connected()
        found: Redis = client.get_redis_connection(client.get_node_from_key(key))
        return found

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def reconnect(self) -> None:
        self.close()

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                nodes = [_node(host, port) for host, port in self._nodes]
                self._client = RedisCluster(startup_nodes=nodes, **self._options, **_OF_CLIENT)
            return self._client


_node: Callable[[str, int], Any] = ClusterNode  # redis-py does not type it
#: Before 6.0 redis-py repeats by this number, whatever ``retry`` says.
_TRIED_ONCE: dict[str, Any] = {"cluster_error_retry_attempts": 0} if VERSION < (6,) else {}
#: One slot is all that a store needs.
_OF_CLIENT: dict[str, Any] = {**_TRIED_ONCE, "require_full_coverage": False}
