"""The servers of a chaos run: those that faults strike, and a result backend that they spare."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import ExitStack
from types import TracebackType

import psycopg

from tests.servers import Postgres, RabbitMQ, Valkey


class Servers:
    """Broker, store, database and result backend, each a server of its own.

    Args:
        broker: ``redis`` or ``rabbitmq``.
    """

    def __init__(self, broker: str) -> None:
        self.results = Valkey()
        self.store = Valkey(appendonly=True)
        self.broker: Valkey | RabbitMQ = (
            RabbitMQ() if broker == "rabbitmq" else Valkey(appendonly=True)
        )
        self.database = Postgres()
        self.database_url = ""
        self._stack = ExitStack()

    def running(self, workers: Collection[str]) -> list[bytes]:
        """The keys of the runs that one of these workers has, in an order of their own."""
        found = []
        with self.store.client() as client:
            for key in sorted(client.scan_iter("graceful:*:run:*", count=1000)):
                state, owner = client.hmget(key, "s", "o")
                if state == b"running" and (owner or b"").partition(b"@")[0].decode() in workers:
                    found.append(key)
        return found

    def forget(self, key: bytes, patience: float) -> bool:
        """Delete a record; returns whether its owner has written it back within ``patience``."""
        with self.store.client() as client:
            client.delete(key)
            until = time.monotonic() + patience
            while not client.exists(key):
                if time.monotonic() > until:
                    return False
                time.sleep(0.05)
        return True

    def refuse(self, refuses: bool) -> None:
        """Have the store refuse all that is written, as without memory; or no longer."""
        with self.store.client() as client:
            client.config_set("maxmemory", "100kb" if refuses else "0")

    def drop_store(self) -> None:
        """Cut all connections to the store."""
        _cut_clients(self.store)

    def drop_broker(self) -> None:
        """Cut all connections to the broker."""
        if isinstance(self.broker, RabbitMQ):
            self.broker.close_connections()
        else:
            _cut_clients(self.broker)

    def drop_database(self) -> None:
        """Cut all connections to the ledger's database, open transactions included."""
        dsn = self.database_url.replace("+psycopg", "")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    def __enter__(self) -> Servers:
        for server in (self.results, self.store, self.broker, self.database):
            self._stack.enter_context(server)
        self.database_url = self.database.fresh_url()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()


def _cut_clients(server: Valkey) -> None:
    with server.client() as client:
        client.execute_command("CLIENT", "KILL", "SKIPME", "yes")
