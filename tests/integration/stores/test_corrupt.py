"""Records that somebody else has written to."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
import redis

from celery_graceful.errors import CorruptRecord, StoreError
from celery_graceful.model.run.record import RunKey
from celery_graceful.stores.base import Store
from celery_graceful.testing.store_contract.samples import OWNER, RUNNING, listed, put, read

BAD, GOOD = RunKey("t", "bad"), RunKey("t", "good")
KEY = "graceful:{test}:run:t:bad"
Open = Callable[..., Store]
Damage = Callable[["redis.Redis"], Any]

REDIS_DAMAGE: dict[str, Damage] = {
    "a string": lambda client: (client.delete(KEY), client.set(KEY, "x")),
    "no version": lambda client: client.hdel(KEY, "v"),
    "no state": lambda client: client.hdel(KEY, "s"),
    "no rest": lambda client: client.hdel(KEY, "m"),
    "version is text": lambda client: client.hset(KEY, "v", "one"),
    "unknown state": lambda client: client.hset(KEY, "s", "dreaming"),
    "state is no text": lambda client: client.hset(KEY, "s", b"\xff\xfe"),
    "fence is text": lambda client: client.hset(KEY, "f", "x"),
    "unknown request": lambda client: client.hset(KEY, "q", "x"),
    "rest is cut off": lambda client: client.hset(KEY, "m", '{"format":1,'),
    "rest is a list": lambda client: client.hset(KEY, "m", "[]"),
    "rest is nested": lambda client: client.hset(KEY, "m", "[" * 100_000),
    "later format": lambda client: client.hset(KEY, "m", '{"format":2}'),
    "a count is text": lambda client: _edit(client, "generation", "x"),
    "unknown outcome": lambda client: _edit(client, "outcome", "x"),
    "steps are text": lambda client: client.hset(KEY, "n", "many"),
    "time is text": lambda client: client.hset(KEY, "d", "soon"),
}

SQL_DAMAGE = {
    "unknown state": "state = 'dreaming'",
    "version is text": "version = 'one'",
    "state is bytes": "state = x'ff'",
    "fence is text": "fence = 'x'",
    "unknown request": "requested = 'x'",
    "rest is cut off": "extra = '{\"format\":1,'",
    "rest is bytes": "extra = x'00'",
    "checkpoint is no text": "checkpoint = x'ff'",
    "checkpoint is a number": "checkpoint = 5",
    "envelope is text": "envelope = 'text'",
    "steps are text": "steps = 'many'",
}


def _edit(client: redis.Redis, name: str, value: str) -> None:
    rest = json.loads(client.hget(KEY, "m") or "")
    client.hset(KEY, "m", json.dumps({**rest, name: value}))


def check_damage(
    store: Store, name: str, caplog: pytest.LogCaptureFixture, look: Callable[[], object]
) -> None:
    """The damaged record is told by its name, stays as it is, and hides no other."""
    before = look()
    with pytest.raises(CorruptRecord, match=name):
        store.load(BAD)
    with pytest.raises(CorruptRecord, match=name):
        store.swap(BAD, 77, RUNNING)
    with pytest.raises(CorruptRecord, match=name):
        store.swap(BAD, 0, RUNNING)
    for _ in range(3):
        assert [run for run, _ in store.due(1)] == [GOOD]
        assert [run for run, _ in listed(store, 1)] == [GOOD]
    warnings = [record for record in caplog.records if record.name == "celery_graceful.stores"]
    assert len(warnings) == 1
    assert name.replace("\\", "") in warnings[0].getMessage()
    assert look() == before
    store.renew(OWNER, [BAD, GOOD], due_in=60)
    assert read(store, GOOD).version == 2


@pytest.mark.parametrize("damage", REDIS_DAMAGE.values(), ids=REDIS_DAMAGE)
def test_redis(
    redis_url: str, opener: Open, caplog: pytest.LogCaptureFixture, damage: Damage
) -> None:
    store = opener(redis_url)
    put(store, run=GOOD, due_in=-1)
    put(store, run=BAD, due_in=-2)
    with redis.Redis.from_url(redis_url) as client:
        damage(client)
        check_damage(store, KEY, caplog, lambda: client.dump(KEY))


@pytest.mark.parametrize("field", ["s", "f", "v"])
def test_a_checkpoint_on_a_damaged_hash(redis_url: str, opener: Open, field: str) -> None:
    store = opener(redis_url)
    put(store, run=BAD)
    with redis.Redis.from_url(redis_url) as client:
        client.hdel(KEY, field)
        before = client.dump(KEY)
        with pytest.raises(CorruptRecord, match=KEY):
            store.checkpoint(BAD, 1, "c", 1, due_in=9)
        if field == "v":
            client.hset(KEY, "v", "one")
            before = client.dump(KEY)
            with pytest.raises(CorruptRecord, match=KEY):
                store.checkpoint(BAD, 1, "c", 1, due_in=9)
        assert client.dump(KEY) == before


def test_members_that_name_no_run(
    redis_url: str, opener: Open, caplog: pytest.LogCaptureFixture
) -> None:
    store = opener(redis_url)
    put(store, run=GOOD, due_in=-1)
    with redis.Redis.from_url(redis_url) as client:
        for member in (b"\xff:x", b"nocolon"):
            client.zadd("graceful:{test}:live", {member: 1})
            client.hset(b"graceful:{test}:run:" + member, "v", 1)
        client.zadd("graceful:{test}:live", {"gone:run": 1})
        assert [run for run, _ in store.due(1)] == [GOOD]
        assert client.zscore("graceful:{test}:live", "gone:run") is None
    assert len(caplog.records) == 2


def test_a_record_survives_what_went_wrong_with_an_index(redis_url: str, opener: Open) -> None:
    store = opener(redis_url)
    before = put(store, run=GOOD)
    with redis.Redis.from_url(redis_url) as client:
        client.set("graceful:{test}:ended", "x")
        for keep in (None, 9.0):
            with pytest.raises(StoreError, match="Nothing was changed"):
                store.swap(GOOD, 1, before, keep=keep)
            assert store.load(GOOD).record == before
            assert client.zscore("graceful:{test}:live", "t:good") == before.due_at


def test_listing_gets_past_many_members_without_a_record(redis_url: str, opener: Open) -> None:
    store = opener(redis_url)
    put(store, run=GOOD, due_in=-1)
    with redis.Redis.from_url(redis_url) as client:
        client.zadd("graceful:{test}:live", {f"gone:{number}": 1 for number in range(1500)})
    assert [run for run, _ in store.due(1)] == [GOOD]


def test_an_index_that_is_none(redis_url: str, opener: Open) -> None:
    store = opener(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.set("graceful:{test}:live", "x")
    with pytest.raises(StoreError, match=r"graceful:\{test\}:live"):
        store.due(1)
    with pytest.raises(StoreError):
        put(store, run=BAD)
    assert store.load(BAD).record is None


@pytest.mark.parametrize("damage", SQL_DAMAGE.values(), ids=SQL_DAMAGE)
def test_sqlite(
    sqlite_url: str, opener: Open, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    store = opener(sqlite_url)
    put(store, run=GOOD, due_in=-1)
    put(store, run=BAD, due_in=-2)
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as other:
        other.execute(f"UPDATE graceful_runs SET {damage} WHERE id = 'bad'")
        other.commit()
        query = "SELECT * FROM graceful_runs WHERE id = 'bad'"
        check_damage(store, r"t\[bad\]", caplog, lambda: other.execute(query).fetchall())
