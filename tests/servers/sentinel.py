"""A Sentinel that watches one Valkey server."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.servers.process import HOST, Process, Server, free_port
from tests.servers.valkey import START_TIMEOUT, find_program


class Sentinel(Server):
    """Tells clients where the master called ``name`` is.

    Args:
        master: the port of a running server.
        password: what it asks of its clients.
    """

    def __init__(self, master: int, name: str = "main", *, password: str = "") -> None:
        self.port = free_port()
        self.name = name
        self._password = password or None
        self._folder = Path(tempfile.mkdtemp(prefix="sentinel-"))
        self._configuration = self._folder / "sentinel.conf"
        self._configuration.write_text(
            f"port {self.port}\nbind {HOST}\ndir {self._folder}\nloglevel warning\n"
            f"sentinel monitor {name} {HOST} {master} 1\n"
            f"sentinel down-after-milliseconds {name} 60000\n"  # no failover by itself
            f"sentinel failover-timeout {name} 2000\n"
            + (f"requirepass {password}\n" if password else "")
        )

    @property
    def url(self) -> str:
        """The URL of the master's database 0."""
        return f"sentinel://{HOST}:{self.port}/0"

    def start(self) -> Sentinel:
        """Start it and wait until it knows the master."""
        self._process = Process(
            [find_program(), str(self._configuration), "--sentinel"],
            log=self._folder / "sentinel.log",
        )
        self._process.wait_until(self._answers, START_TIMEOUT)
        return self

    def _answers(self) -> bool:
        client: Any = redis.Redis(
            host=HOST,
            port=self.port,
            password=self._password,
            socket_timeout=5,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            return client.execute_command("SENTINEL", "CKQUORUM", self.name) is not None
        except redis.RedisError:
            return False  # not listening yet
        finally:
            client.close()
