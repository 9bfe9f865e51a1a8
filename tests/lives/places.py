"""Stores whose time the test moves. Real ones tell their own: there, what is due is moved."""

from __future__ import annotations

from typing import Any, Protocol

from redis import Redis
from sqlalchemy import Engine, text

from celery_graceful.model.run.record import RunKey
from celery_graceful.stores.base import Store
from celery_graceful.stores.memory_store import MemoryStore


class Place(Protocol):
    """A store, and its time."""

    store: Store

    def shift(self, seconds: float) -> None:
        """Set the store's clock forward by ``seconds``, or backward if they are negative."""

    def damage(self, run: RunKey, summary: str) -> None:
        """Put ``summary`` in place of what the record of ``run`` has there."""

    def forget(self, run: RunKey) -> None:
        """Have the record of ``run`` vanish, as after an eviction."""


class MemoryPlace:
    """A store in memory, with a number for a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.store: Store = MemoryStore(lambda: self.now)

    def shift(self, seconds: float) -> None:
        self.now += seconds

    def damage(self, run: RunKey, summary: str) -> None:
        pass  # there is no text that could be damaged

    def forget(self, run: RunKey) -> None:
        store: Any = self.store
        store._rows.pop(run, None)


class RedisPlace:
    """A namespace in Redis."""

    def __init__(self, store: Store, client: Redis, namespace: str) -> None:
        self.store = store
        self._client: Any = client
        self._prefix = f"graceful:{{{namespace}}}:"

    def shift(self, seconds: float) -> None:
        index = f"{self._prefix}live"
        for member, due in self._client.zrange(index, 0, -1, withscores=True):
            if due != float("inf"):
                moved = f"{due - seconds:.6f}"
                self._client.zadd(index, {member: moved})
                key = f"{self._prefix}run:".encode() + member
                if self._client.exists(key):  # or it would begin anew, of this field alone
                    self._client.hset(key, "d", moved)

    def damage(self, run: RunKey, summary: str) -> None:
        self._client.hset(f"{self._prefix}run:{run.task}:{run.id}", "m", summary)

    def forget(self, run: RunKey) -> None:
        self._client.delete(f"{self._prefix}run:{run.task}:{run.id}")


class SqlPlace:
    """A namespace in a database."""

    _SHIFT = text("UPDATE graceful_runs SET due_at = due_at - :by WHERE namespace = :ns")
    _DAMAGE = text(
        "UPDATE graceful_runs SET extra = :extra"
        " WHERE namespace = :ns AND task = :task AND id = :id"
    )

    _FORGET = text("DELETE FROM graceful_runs WHERE namespace = :ns AND task = :task AND id = :id")

    def __init__(self, store: Store, engine: Engine, namespace: str) -> None:
        self.store = store
        self._engine = engine
        self._namespace = namespace

    def shift(self, seconds: float) -> None:
        with self._engine.begin() as connection:
            connection.execute(self._SHIFT, {"by": seconds, "ns": self._namespace})

    def damage(self, run: RunKey, summary: str) -> None:
        given = {"extra": summary, "ns": self._namespace, **run._asdict()}
        with self._engine.begin() as connection:
            connection.execute(self._DAMAGE, given)

    def forget(self, run: RunKey) -> None:
        with self._engine.begin() as connection:
            connection.execute(self._FORGET, {"ns": self._namespace, **run._asdict()})
