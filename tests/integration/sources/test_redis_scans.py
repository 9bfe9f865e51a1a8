"""Keys of a real server, while its tables grow and shrink, and when it is another one."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.backoff import NoBackoff
from redis.retry import Retry

from celery_graceful.errors import CursorError, SourceError
from celery_graceful.sources import (
    chained,
    redis_hscan,
    redis_scan,
    redis_sscan,
    redis_zscan,
)
from tests.servers import Valkey
from tests.servers.cluster import Cluster


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


def saved(cursor: Any) -> Any:
    return json.loads(json.dumps(cursor))


def fill(client: Any, names: set[str]) -> None:
    client.mset(dict.fromkeys(names, "1"))


def fill_hash(client: Any, names: set[str]) -> None:
    client.hset("the-hash", mapping=dict.fromkeys(names, "1"))


def fill_set(client: Any, names: set[str]) -> None:
    client.sadd("the-set", *names)


def fill_sorted(client: Any, names: set[str]) -> None:
    client.zadd("the-sorted", dict.fromkeys(names, 1.5))


def drop(client: Any, names: set[str]) -> None:
    client.delete(*names)


FAMILY: list[tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]] = [
    (redis_scan, fill, drop),
    (partial(redis_hscan, key="the-hash"), fill_hash, lambda c, n: c.hdel("the-hash", *n)),
    (partial(redis_sscan, key="the-set"), fill_set, lambda c, n: c.srem("the-set", *n)),
    (partial(redis_zscan, key="the-sorted"), fill_sorted, lambda c, n: c.zrem("the-sorted", *n)),
]
NAMES = ("scan", "hscan", "sscan", "zscan")


def name_of(item: Any) -> str:
    return str(item[0] if isinstance(item, tuple) else item)


@pytest.mark.parametrize(("source", "fill", "drop"), FAMILY, ids=NAMES)
def test_at_any_cut(
    client: Any, source: Any, fill: Callable[..., None], drop: Callable[..., None]
) -> None:
    """Without changes nothing is repeated, from any cursor on."""
    names = {f"{n}-{'x' * 70}" for n in range(150)}  # long: a table, not a list of a small hash
    fill(client, names)
    pairs = list(source(client, count=20))
    assert sorted(name_of(item) for item, _ in pairs) == sorted(names)
    for done, (_, cursor) in enumerate(pairs, 1):
        rest = source(client, count=20, cursor=saved(cursor))
        assert [item for item, _ in rest] == [item for item, _ in pairs[done:]]


@pytest.mark.parametrize(("source", "fill", "drop"), FAMILY, ids=NAMES)
def test_what_is_there_all_the_time_is_found(
    client: Any, source: Any, fill: Callable[..., None], drop: Callable[..., None]
) -> None:
    @settings(max_examples=12, deadline=None)
    @given(st.integers(0, 10**6))
    def interrupted_at_random(seed: int) -> None:
        client.flushdb()
        chances = random.Random(seed)
        always = {f"{n}-{'x' * 70}" for n in range(chances.randrange(1, 120))}
        fill(client, always)
        others: set[str] = set()
        done, cursor, ended = set(), None, False
        while not ended:
            pairs = source(client, count=chances.choice([1, 5, 20]), cursor=saved(cursor))
            ended = True
            for item, cursor in pairs:  # noqa: B007
                done.add(name_of(item))
                if chances.random() < 0.1:
                    ended = False
                    break
            if chances.random() < 0.5:
                new = {f"o{n}-{'x' * 70}" for n in range(chances.choice([3, 600]))}
                fill(client, new)
                others |= new
            elif others and chances.random() < 0.5:
                drop(client, others)
                others = set()
        assert always <= done

    interrupted_at_random()


def test_a_batch_that_has_changed_is_done_again(client: Any) -> None:
    names = {f"k{n}" for n in range(10)}
    fill(client, names)
    source = redis_scan(client, count=100)
    for _ in range(4):
        _, cursor = next(source)
    assert len(list(redis_scan(client, count=100, cursor=saved(cursor)))) == 6
    client.set("another", "1")
    assert len(list(redis_scan(client, count=100, cursor=saved(cursor)))) == 11


def test_patterns_and_types(client: Any) -> None:
    fill(client, {"a1", "a2", "b1"})
    client.sadd("a3", "x")
    assert sorted(k for k, _ in redis_scan(client, "a*")) == ["a1", "a2", "a3"]
    assert sorted(k for k, _ in redis_scan(client, "a*", type="set")) == ["a3"]
    client.hset("h", mapping={"f1": "1", "g1": "2"})
    assert [item for item, _ in redis_hscan(client, "h", "f*")] == [("f1", "1")]
    client.zadd("z", {"m": 2.5})
    assert [item for item, _ in redis_zscan(client, "z")] == [("m", 2.5)]
    assert list(redis_sscan(client, "no-such-key")) == []


def test_long_stretches_without_a_match_move_the_cursor(client: Any) -> None:
    fill(client, {f"k{n}" for n in range(500)})
    markers = list(redis_scan(client, "nothing", count=10).marked)
    assert len(markers) > 10
    assert list(redis_scan(client, "nothing", count=10)) == []


def test_bytes_and_texts_have_one_cursor(redis_url: str, client: Any) -> None:
    client.mset({"ä": 1, "b": 2, "c": 3})
    client.set(b"\xff\xfe", "4")
    with redis.Redis.from_url(redis_url) as raw:
        pairs = list(redis_scan(raw))
        assert {key for key, _ in pairs} == {"ä".encode(), b"b", b"c", b"\xff\xfe"}
        client.delete(b"\xff\xfe")
        pairs = list(redis_scan(raw))
    assert len(list(redis_scan(client, cursor=saved(pairs[0][1])))) == 2


def test_after_a_restart_of_the_server_the_scan_begins_again(
    own_valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    """The tables of a new process are in another order: a scan cursor would miss keys."""
    with own_valkey.client() as client:
        fill(client, {f"k{n}" for n in range(200)})
        source = redis_scan(client, count=10)
        for _ in range(150):
            _, cursor = next(source)
    own_valkey.kill()
    own_valkey.start()
    with own_valkey.client() as client:
        fill(client, {f"k{n}" for n in range(200)})
        with caplog.at_level(logging.WARNING, "celery_graceful.runs"):
            found = {key for key, _ in redis_scan(client, count=10, cursor=saved(cursor))}
    assert len(found) == 200
    assert "the scan begins again" in caplog.text


def test_a_failover_within_a_scan(client: Any, caplog: pytest.LogCaptureFixture) -> None:
    fill(client, {f"k{n}" for n in range(50)})

    class FailedOver:
        """The client of a server that is another one from the second question on."""

        scan = staticmethod(client.scan)

        def __init__(self) -> None:
            self.ids = ["first", "second"]

        def info(self, _: str) -> dict[str, str]:
            return {"run_id": self.ids.pop(0) if len(self.ids) > 1 else self.ids[0]}

    assert len([key for key, _ in redis_scan(FailedOver())]) == 100
    assert "the scan begins again" in caplog.text


def test_a_server_that_does_not_say_who_it_is(
    own_valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    with own_valkey.client() as client:
        client.acl_setuser(
            "scanner", enabled=True, nopass=True, keys=["*"], commands=["+scan", "+mset"]
        )
        url = own_valkey.url.replace("redis://", "redis://scanner:x@")
        with redis.Redis.from_url(url) as limited:
            fill(limited, {"a", "b"})
            assert len(list(redis_scan(limited))) == 2
    assert "allow the command INFO" in caplog.text


# -- a cluster -------------------------------------------------------------------------------


@pytest.mark.slow
def test_nodes_of_a_cluster_one_after_another(caplog: pytest.LogCaptureFixture) -> None:
    with Cluster() as cluster:
        url = cluster.url.split(";")[0].replace("redis+cluster", "redis")
        with redis.RedisCluster.from_url(url) as client:
            names = {f"k{n}" for n in range(100)}
            for name in names:
                client.set(name, "1")
            with pytest.raises(SourceError, match=r"a client of a cluster.*sources\.chained"):
                redis_scan(client)
            nodes = sorted(client.get_primaries(), key=lambda node: node.name)
            source = chained(
                *[partial(redis_scan, client.get_redis_connection(node)) for node in nodes]
            )
            assert {key.decode() for key, _ in source} == names
            client.hset("the-hash", mapping=dict.fromkeys(names, "1"))
            assert len(list(redis_hscan(client, "the-hash"))) == 100


# -- wrong use -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cursor", [0, [1, 2], "abc", ["0", 1, "", ""], [1, -2, "", ""], [-1, 0, "", ""], [1, 0, 5, ""]]
)
def test_foreign_cursors(client: Any, cursor: Any) -> None:
    with pytest.raises(CursorError, match=r"redis_scan: the cursor must be \[scan cursor"):
        redis_scan(client, cursor=cursor)


def test_bad_input(client: Any, redis_url: str) -> None:
    client.set("a-text", "1")
    with pytest.raises(SourceError, match="redis_hscan: the key 'a-text' is of another type"):
        next(redis_hscan(client, "a-text"))
    with pytest.raises(ValueError, match="count must be a whole number of 1 or more, not 0"):
        redis_scan(client, count=0)
    unreachable = redis.Redis(port=1, retry=Retry(NoBackoff(), 0))
    with pytest.raises(redis.ConnectionError):
        next(redis_scan(unreachable))
    waiting = redis.asyncio.Redis.from_url(redis_url)
    with pytest.raises(SourceError, match="is an asynchronous client"):
        next(redis_scan(waiting))
