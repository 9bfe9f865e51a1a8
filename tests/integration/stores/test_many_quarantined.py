"""Many quarantined items: no call on them holds up the server, and all of them expire."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import redis
from sqlalchemy import create_engine, text

from celery_graceful.model.cursor import Checkpoint, encode
from celery_graceful.model.record import Record, RunKey, State
from celery_graceful.runs.aside import count, found
from celery_graceful.stores.base import Store
from celery_graceful.testing.store_contract.samples import OWNER, RUNNING, put, until

RUN = RunKey("proj.tasks.reindex", "many")
MANY = 5_000
#: Elements that one command may touch, whatever the number of items.
TOUCHED = 1_000


def fill(store: Store, many: int = MANY, keep: float = 600.0) -> None:
    put(store, RUNNING, run=RUN)
    for ordinal in range(many):
        assert store.put_aside(RUN, 1, ordinal, "entry", keep=keep)


def test_no_key_of_redis_holds_all(redis_url: str, opener: Callable[..., Store]) -> None:
    store = opener(redis_url)
    fill(store)
    with redis.Redis.from_url(redis_url) as client:
        keys = list(client.scan_iter("graceful:test:aside*"))
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
            assert len(store.aside(RUN, 0, MANY)) == MANY
            assert store.count_aside(RUN, 0, 2 * MANY) == MANY
            store.keep_aside(RUN, keep=60)
            store.drop_aside_range(RUN, 0)
            scripts = [e for e in client.slowlog_get(100) if e["command"].startswith(b"EVAL")]
            assert len(scripts) <= 1, "one may have met the machine standing still"
        finally:
            client.config_set("slowlog-log-slower-than", 10_000)


def test_expired_rows_are_swept_step_by_step(sqlite_url: str, opener: Callable[..., Store]) -> None:
    store = opener(sqlite_url)
    fill(store, 1_200)
    store.keep_aside(RUN, keep=0.05)
    until(lambda: not store.aside(RUN, 0, 1), "that they expire")
    engine = create_engine(sqlite_url)
    left = [1_200]

    def end_one() -> bool:
        run = RunKey("proj.tasks.other", f"{len(left)}")
        put(store, Record(State.RUNNING, fence=1, owner=OWNER), run=run)
        ended = Record(State.ENDED, fence=1)
        assert store.swap(run, 1, ended, keep=600).done
        with engine.connect() as connection:
            rows = text("SELECT count(*) FROM graceful_quarantined_items")
            left.append(connection.execute(rows).scalar_one())
            heads = text("SELECT count(*) FROM graceful_quarantine_expiry")
            return not connection.execute(heads).scalar_one()

    try:
        until(end_one, "that they are swept")
    finally:
        engine.dispose()
    assert left[-1] == 0
    assert max(before - after for before, after in pairwise(left)) <= TOUCHED


@pytest.mark.parametrize("first", [0, 40])
def test_a_walk_begins_anywhere(store: Store, first: int) -> None:
    put(store, RUNNING, run=RUN)
    at = encode(Checkpoint(1))
    entry = json.dumps(
        {"item": "1", "before": at, "cursor": at, "error": "", "traceback": "", "at": 1.0}
    )
    for ordinal in range(250):
        assert store.put_aside(RUN, 1, ordinal, entry, keep=60)
    assert [item.ordinal for item in found(store, RUN, first=first)] == list(range(first, 250))
    assert count(store, RUN) == 250
