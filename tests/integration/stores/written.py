"""Records written past the store, as another version or another program would write them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import redis
from sqlalchemy import create_engine, text

from celery_graceful.model.run.record import RunKey
from celery_graceful.stores.redis.encoding import member_of

#: The summary of a record as version 0.1.0 first wrote it.
FIRST = {
    "format": 1,
    "generation": 2,
    "execution_steps": 3,
    "resumptions": 1,
    "crashes": 0,
    "crash_steps": -1,
    "stalls": 0,
    "republished": 0,
    "reason": "shutdown",
    "outcome": None,
    "started_at": 1712345678.5,
    "stamp": "0123456789abcdef",
}
#: The same, of a later version that has added fields.
RICHER = {**FIRST, "by": "0.9.1", "colour": "blue", "shards": [1, {"deep": None}]}
#: The same, of a version that means other things by the same names.
NEWER = {**RICHER, "format": 2, "generation": "two"}

_COLUMNS = {"s": "state", "f": "fence", "n": "steps", "o": "owner", "c": "checkpoint"}


class Elsewhere:
    """Somebody else's hand on the store at ``url``.

    Args:
        url: a Redis or a SQL database.
        namespace: of the records.
    """

    def __init__(self, url: str, namespace: str = "test") -> None:
        self.url = url
        self.namespace = namespace
        self.redis = url.startswith("redis")

    def write(
        self, run: RunKey, summary: Mapping[str, Any], *, more: bool = False, due_at: float = 1.0
    ) -> None:
        """Write the record of a running run, long overdue; ``more``: with a field of its own."""
        fields: dict[str, Any] = {"s": "running", "f": 4, "n": 7, "o": "w@one/1", "c": b"text"}
        if self.redis:
            with redis.Redis.from_url(self.url) as client:
                fields.update({"v": 9, "d": due_at, "m": json.dumps(summary), "e": b"envelope"})
                if more:
                    fields["colour"] = "blue"
                client.hset(self._key(run), mapping=fields)
                index = f"graceful:{{{self.namespace}}}:"
                client.zadd(index + "live", {member_of(run): due_at})
                client.zadd(index + "begun", {member_of(run): summary["started_at"]})
            return
        row = {_COLUMNS[name]: value for name, value in fields.items()}
        row.update(namespace=self.namespace, task=run.task, id=run.id, version=9, due_at=due_at)
        row.update(extra=json.dumps(summary), envelope=b"envelope")
        row.update(started_at=summary["started_at"])
        if more:
            self._execute("ALTER TABLE graceful_runs ADD COLUMN colour TEXT")
            row["colour"] = "blue"
        names = ", ".join(row)
        marks = ", ".join(f":{name}" for name in row)
        self._execute(f"INSERT INTO graceful_runs ({names}) VALUES ({marks})", **row)

    def summary(self, run: RunKey) -> Any:
        """The summary in the record, as it stands there."""
        if self.redis:
            with redis.Redis.from_url(self.url) as client:
                return json.loads(client.hget(self._key(run), "m") or "null")
        found = self._execute("SELECT extra FROM graceful_runs WHERE id = :id", id=run.id)
        return json.loads(found[0][0])

    def rewrite(self, run: RunKey, summary: str) -> None:
        """Put another summary in its place."""
        if self.redis:
            with redis.Redis.from_url(self.url) as client:
                client.hset(self._key(run), "m", summary)
            return
        statement = "UPDATE graceful_runs SET extra = :extra WHERE id = :id"
        self._execute(statement, extra=summary, id=run.id)

    def _key(self, run: RunKey) -> bytes:
        return f"graceful:{{{self.namespace}}}:run:".encode() + member_of(run)

    def _execute(self, statement: str, **parameters: Any) -> list[Any]:
        engine = create_engine(self.url)
        try:
            with engine.begin() as connection:
                done = connection.execute(text(statement), parameters)
                return list(done) if done.returns_rows else []
        finally:
            engine.dispose()
