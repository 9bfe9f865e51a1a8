"""Calling scripts in a Redis Cluster: redis-py finds the node, and follows when slots move.

All keys of a namespace are in one slot, so every call of a store goes to one node at a time.
Nothing is sent twice but what a node refused because the slot is elsewhere. Tried on redis-py
5.2 to 8.1.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from redis import VERSION, Redis
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import NoScriptError

from celery_graceful.stores.redis.calls import Line
from celery_graceful.stores.redis.scripts import Script


class ClusterLine(Line):
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
