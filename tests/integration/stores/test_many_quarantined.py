"""Many quarantined items: no call on them holds up the server, and all of them expire."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
import redis
from sqlalchemy import Engine, create_engine, event, text

from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.model.run.record import Record, RunKey, State
from celery_graceful.runs.quarantined_items import count, found
from celery_graceful.stores.base import Store
from celery_graceful.testing.store_contract.samples import RUNNING, put, until

RUN = RunKey("proj.tasks.reindex", "many")
MANY = 5_000
#: Elements that one command may touch, whatever the number of items.
TOUCHED = 1_000


def fill(store: Store, many: int = MANY, keep: float = 600.0) -> None:
    put(store, RUNNING, run=RUN)
    for ordinal in range(many):
        assert store.quarantine(RUN, 1, ordinal, "entry", keep=keep)


def test_no_key_of_redis_holds_all(redis_url: str, opener: Callable[..., Store]) -> None:
    store = opener(redis_url)
    fill(store)
    with redis.Redis.from_url(redis_url) as client:
        keys = list(client.scan_iter("graceful:{test}:quarantined*"))
        sizes: list[Any] = [
            client.zcard(key) if client.type(key) == b"zset" else client.hlen(key) for key in keys
        ]
        assert sum(sizes) >= MANY
        assert max(sizes) <= TOUCHED, "a key that expires is freed by the server in one go"
        assert all(client.ttl(key) > 0 for key in keys), "each expires by itself"


def test_one_call_of_redis_reads_a_part(redis_url: str, opener: Callable[..., Store]) -> None:
    store = opener(redis_url)
    fill(store)
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("slowlog-log-slower-than", 20_000)  # microseconds
        try:
            client.slowlog_reset()
            assert len(store.quarantined(RUN, 0, MANY)) == MANY
            assert store.count_quarantined(RUN, 0, 2 * MANY) == MANY
            store.expire_quarantined(RUN, keep=60)
            store.drop_quarantined_range(RUN, 0)
            scripts = [e for e in client.slowlog_get(100) if e["command"].startswith(b"EVAL")]
            assert len(scripts) <= 1, "one may have met the machine standing still"
        finally:
            client.config_set("slowlog-log-slower-than", 10_000)


class Rows:
    """What the tables of quarantined items hold, past the store."""

    def __init__(self, url: str) -> None:
        self.engine = create_engine(url)

    def count(self, table: str = "graceful_quarantined_items") -> int:
        with self.engine.connect() as connection:
            found: int = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
            return found


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def sql_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def rows(sql_url: str) -> Iterator[Rows]:
    rows = Rows(sql_url)
    yield rows
    rows.engine.dispose()


def end_one(store: Store) -> None:
    """End some run: the occasion on which a store sweeps."""
    run = RunKey("proj.tasks.other", uuid4().hex)
    assert store.swap(run, 0, Record(State.ENDED, fence=1), keep=600).done


def expire(store: Store, many: int) -> None:
    fill(store, many)
    store.expire_quarantined(RUN, keep=0.05)
    until(lambda: not store.quarantined(RUN, 0, 1), "that they expire")


def test_expired_rows_are_swept_step_by_step(
    sql_url: str, rows: Rows, opener: Callable[..., Store]
) -> None:
    store = opener(sql_url)
    expire(store, 1_200)
    left = [1_200]
    while rows.count("graceful_quarantine_expiry"):
        end_one(store)
        left.append(rows.count())
        assert len(left) < 10
    assert left[-1] == 0
    assert max(before - after for before, after in pairwise(left)) <= TOUCHED


def test_no_step_of_a_sweep_reads_what_the_last_one_deleted(
    sql_url: str, opener: Callable[..., Store]
) -> None:
    """PostgreSQL keeps deleted rows for a while, and would read them again each time."""
    store, first = opener(sql_url), []
    expire(store, 1_800)

    def note(*given: Any) -> None:
        if "FROM graceful_quarantined_items" in given[2] and given[2].startswith("SELECT"):
            found = given[3]
            first.append(found["first"] if isinstance(found, dict) else found[3])

    event.listen(Engine, "before_cursor_execute", note)
    try:
        for _ in range(4):
            end_one(store)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert first[1:] == [500, 1000, 1500]


def test_two_workers_sweep_the_same_items(
    sql_url: str, rows: Rows, opener: Callable[..., Store]
) -> None:
    """One deletes what the other is about to delete: nothing stays behind for ever."""
    one, other = opener(sql_url), opener(sql_url)
    expire(one, 1_200)
    was_first: list[bool] = []

    def interfere(_connection: Any, _cursor: Any, statement: str, *_: object) -> None:
        if statement.startswith("DELETE FROM graceful_quarantined_items") and not was_first:
            was_first.append(True)
            end_one(other)

    event.listen(Engine, "before_cursor_execute", interfere)
    try:
        for _ in range(10):
            end_one(one)
    finally:
        event.remove(Engine, "before_cursor_execute", interfere)
    assert was_first
    assert rows.count() == 0
    assert rows.count("graceful_quarantine_expiry") == 0


@pytest.mark.parametrize("first", [0, 40])
def test_a_walk_begins_anywhere(store: Store, first: int) -> None:
    put(store, RUNNING, run=RUN)
    at = encode(Checkpoint(1))
    entry = json.dumps(
        {"item": "1", "before": at, "cursor": at, "error": "", "traceback": "", "at": 1.0}
    )
    for ordinal in range(250):
        assert store.quarantine(RUN, 1, ordinal, entry, keep=60)
    assert [item.ordinal for item in found(store, RUN, first=first)] == list(range(first, 250))
    assert count(store, RUN) == 250
