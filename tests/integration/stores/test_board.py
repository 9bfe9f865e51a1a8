"""The notice board, where the contract of stores cannot look: damage, left-overs, upgrades."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
import redis
from sqlalchemy import create_engine, text

from celery_graceful.errors import CorruptRecord
from celery_graceful.stores.base import Store
from celery_graceful.testing.store_contract.samples import put, read, until

Open = Callable[..., Store]
Damage = Callable[["redis.Redis"], Any]

NOTICE = "graceful:{test}:notice:n"
REPORTS = "graceful:{test}:reports"
ATTENDING = "graceful:{test}:attending"

NOTICE_DAMAGE: dict[str, Damage] = {
    "a string": lambda client: (client.delete(NOTICE), client.set(NOTICE, "x")),
    "no version": lambda client: client.hdel(NOTICE, "v"),
    "no text": lambda client: client.hdel(NOTICE, "t"),
    "version is text": lambda client: client.hset(NOTICE, "v", "one"),
    "version of 400 digits": lambda client: client.hset(NOTICE, "v", "9" * 400),
    "version below zero": lambda client: client.hset(NOTICE, "v", "-1"),
}
REPORT_DAMAGE: dict[str, Damage] = {
    "no report": lambda client: client.hdel(REPORTS, "w"),
    "no time": lambda client: client.hset(REPORTS, "w", "report"),
    "a time that is none": lambda client: client.hset(REPORTS, "w", "nan report"),
    "a time without end": lambda client: client.hset(REPORTS, "w", "-inf report"),
}
SQL_NOTICE_DAMAGE = ["version = 'one'", "version = -1", "text = x'ff'", "text = 'text'"]
SQL_REPORT_DAMAGE = [
    "report = x'ff'",
    "report = 'text'",
    "written_at = 'soon'",
    "written_at = 9e999",
]


def attend(store: Store, worker: str = "w", *, keep: float = 60, known: int = 0) -> str:
    return store.attend(worker, "report", keep=keep, notice="n", known=known).text


def execute(url: str, statement: str) -> Any:
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            done = connection.execute(text(statement))
            return done.scalar() if done.returns_rows else None
    finally:
        engine.dispose()


def check_notice(store: Store, place: str) -> None:
    """A damaged notice is told by its place, and is not replaced unknowingly."""
    for call in (lambda: store.read_notice("n"), lambda: attend(store)):
        with pytest.raises(CorruptRecord, match=f"{place}.*Nothing was changed") as raised:
            call()
        assert "its run" not in str(raised.value)
    assert store.read_notice("other").version == 0
    assert [it.worker for it in store.attendance()] == ["w"], "the report is written nevertheless"


@pytest.mark.parametrize("damage", NOTICE_DAMAGE.values(), ids=NOTICE_DAMAGE)
def test_a_damaged_notice_in_redis(redis_url: str, opener: Open, damage: Damage) -> None:
    store = opener(redis_url)
    store.post_notice("n", 0, "text")
    with redis.Redis.from_url(redis_url) as client:
        damage(client)
        before = client.dump(NOTICE)
        check_notice(store, NOTICE)
        assert client.dump(NOTICE) == before
        client.delete(NOTICE)
    assert store.post_notice("n", 0, "text") is not None
    assert attend(store) == "text"


def test_bytes_that_are_no_text_in_redis(redis_url: str, opener: Open) -> None:
    """They are handed out readable: whoever reads a mode or a report says what is wrong with it."""
    store = opener(redis_url)
    store.post_notice("n", 0, "text")
    attend(store)
    with redis.Redis.from_url(redis_url) as client:
        client.hset(NOTICE, "t", b"caf\xe9")
        client.hset(REPORTS, "w", b"1.5 caf\xe9")
    texts = [store.read_notice("n").text, *(it.report for it in store.attendance())]
    assert [text.isprintable() and text.startswith("caf") for text in texts] == [True, True]


def test_a_notice_without_a_version_is_not_replaced(redis_url: str, opener: Open) -> None:
    store = opener(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.hset(NOTICE, "t", "text")
        assert store.post_notice("n", 0, "other") is None
        assert client.hgetall(NOTICE) == {b"t": b"text"}


@pytest.mark.parametrize("damage", REPORT_DAMAGE.values(), ids=REPORT_DAMAGE)
def test_a_damaged_report_in_redis(
    redis_url: str, opener: Open, damage: Damage, caplog: pytest.LogCaptureFixture
) -> None:
    store = opener(redis_url)
    attend(store)
    attend(store, "other")
    with redis.Redis.from_url(redis_url) as client:
        damage(client)
    for _ in range(2):
        assert [it.worker for it in store.attendance()] == ["other"]
    assert caplog.text.count("cannot be read and is passed over") == 1
    attend(store)
    assert [it.worker for it in store.attendance()] == ["other", "w"], "its worker has fixed it"


def test_reports_in_redis_that_are_no_reports(redis_url: str, opener: Open) -> None:
    store = opener(redis_url)
    attend(store)
    with redis.Redis.from_url(redis_url) as client:
        client.delete(REPORTS)
        client.set(REPORTS, "x")
        with pytest.raises(CorruptRecord, match=REPORTS):
            store.attendance()
        client.delete(REPORTS)
    attend(store)
    assert [it.report for it in store.attendance()] == ["report"], "its worker has fixed it"


@pytest.mark.parametrize("damage", SQL_NOTICE_DAMAGE)
def test_a_damaged_notice_in_sqlite(sqlite_url: str, opener: Open, damage: str) -> None:
    store = opener(sqlite_url)
    store.post_notice("n", 0, "text")
    execute(sqlite_url, f"UPDATE graceful_notices SET {damage}")
    check_notice(store, "the notice n in graceful_notices")


@pytest.mark.parametrize("damage", SQL_REPORT_DAMAGE)
def test_a_damaged_report_in_sqlite(
    sqlite_url: str, opener: Open, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = opener(sqlite_url)
    attend(store)
    execute(sqlite_url, f"UPDATE graceful_reports SET {damage}")
    attend(store, "other")
    for _ in range(2):
        assert [it.worker for it in store.attendance()] == ["other"]
    assert caplog.text.count("cannot be read and is passed over") == 1
    attend(store)
    assert [it.worker for it in store.attendance()] == ["other", "w"], "its worker has fixed it"


def test_nothing_is_left_of_reports_that_are_forgotten(redis_url: str, opener: Open) -> None:
    store = opener(redis_url)
    for number in range(1200):
        attend(store, f"w{number}", keep=0.5 if number else 0.001)
    with redis.Redis.from_url(redis_url) as client:
        assert client.hexists(REPORTS, "w0") == 0
        until(lambda: not store.attendance(), "the reports to be forgotten")
        until(
            lambda: not store.attendance() and not client.exists(REPORTS, ATTENDING),
            "them to be deleted, step by step",
        )
        attend(store)
        assert client.ttl(REPORTS) == client.ttl(ATTENDING) == -1, (
            "a server that is short of memory evicts what expires"
        )
        store.leave("w")
        assert client.keys("*") == []


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_rows_of_reports_that_are_forgotten_go_away(
    kind: str, opener: Open, request: pytest.FixtureRequest
) -> None:
    url: str = request.getfixturevalue(f"{kind}_url")
    store = opener(url)
    for number in range(5):
        attend(store, f"w{number}", keep=0.1)
    until(lambda: not store.attendance(), "the reports to be forgotten")
    for _ in range(60):
        attend(store, "there")
    assert execute(url, "SELECT count(*) FROM graceful_reports") == 1


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_database_of_an_earlier_version_gains_the_tables(
    kind: str, opener: Open, request: pytest.FixtureRequest
) -> None:
    url: str = request.getfixturevalue(f"{kind}_url")
    earlier = opener(url)
    before = put(earlier)
    for table in ("quarantined_items", "quarantine_expiry", "notices", "reports"):
        execute(url, f"DROP TABLE graceful_{table}")
    store = opener(url)
    assert store.post_notice("n", 0, "text") is not None
    assert attend(store) == "text"
    assert read(store) == before


def test_a_writer_of_sqlite_does_not_keep_readers_waiting(sqlite_url: str, opener: Open) -> None:
    store = opener(sqlite_url, timeout=0.3)
    store.post_notice("n", 0, "text")
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN IMMEDIATE")
        assert store.read_notice("n").text == "text"
        assert store.attendance() == []
        other.rollback()
