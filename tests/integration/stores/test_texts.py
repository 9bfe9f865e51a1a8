"""Named texts, where the contract of stores cannot look: damage, left-overs, upgrades."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
import redis
from sqlalchemy import create_engine, text

from celery_graceful.errors import CorruptRecord
from celery_graceful.stores.base import NOTICES, REPORTS, Store
from celery_graceful.testing.store_contract.samples import put, read, until

Open = Callable[..., Store]
Damage = Callable[["redis.Redis"], Any]

NOTICE_KEY = "graceful:{test}:texts:notices"
REPORT_KEY = "graceful:{test}:texts:reports"
UNTIL_KEY = "graceful:{test}:texts:reports:until"

NOTICE_DAMAGE: dict[str, bytes] = {
    "nothing": b"",
    "a text alone": b"text",
    "no version": b"1.5 - text",
    "version is text": b"one 1.5 - text",
    "version of 400 digits": b"9" * 400 + b" 1.5 - text",
    "version below zero": b"-1 1.5 - text",
    "a time that is none": b"1 nan - text",
    "an end that is none": b"1 1.5 soon text",
}
REPORT_DAMAGE: dict[str, bytes] = {
    "a text alone": b"report",
    "a time that is none": b"1 nan 9999999999 report",
    "a time without end": b"1 -inf 9999999999 report",
}
SQL_NOTICE_DAMAGE = ["version = 'one'", "version = -1", "text = x'ff'", "text = 'text'"]
SQL_REPORT_DAMAGE = [
    "text = x'ff'",
    "text = 'text'",
    "written_at = 'soon'",
    "written_at = 9e999",
]


def post(store: Store, name: str = "n") -> bool:
    return store.write_text(NOTICES, name, "text", expected=0) is not None


def report(store: Store, worker: str = "w", *, keep: float = 60) -> None:
    store.write_text(REPORTS, worker, "report", keep=keep)


def reports(store: Store) -> list[str]:
    return [it.name for it in store.texts(REPORTS)]


def execute(url: str, statement: str) -> Any:
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            done = connection.execute(text(statement))
            return done.scalar() if done.returns_rows else None
    finally:
        engine.dispose()


def check_notice(store: Store, place: str) -> None:
    """A damaged notice is told by its place, is not replaced, and hides no other."""
    with pytest.raises(CorruptRecord, match=f"{place}.*Nothing was changed") as raised:
        store.read_text(NOTICES, "n")
    assert "its run" not in str(raised.value)
    assert store.read_text(NOTICES, "other").version == 0
    report(store)
    assert reports(store) == ["w"]


@pytest.mark.parametrize("damage", NOTICE_DAMAGE.values(), ids=NOTICE_DAMAGE)
def test_a_damaged_notice_in_redis(redis_url: str, opener: Open, damage: bytes) -> None:
    store = opener(redis_url)
    post(store)
    with redis.Redis.from_url(redis_url) as client:
        client.hset(NOTICE_KEY, "n", damage)
        check_notice(store, f"'n' of {NOTICE_KEY}")
        assert not post(store)
        assert client.hget(NOTICE_KEY, "n") == damage
    store.delete_text(NOTICES, "n")
    assert post(store)
    assert store.read_text(NOTICES, "n").text == "text"


@pytest.mark.parametrize("kind", [NOTICES, REPORTS])
def test_a_key_of_redis_that_holds_no_texts(redis_url: str, opener: Open, kind: str) -> None:
    store = opener(redis_url)
    key = f"graceful:{{test}}:texts:{kind}"
    with redis.Redis.from_url(redis_url) as client:
        client.set(key, "x")
        for call in (
            lambda: store.read_text(kind, "n"),
            lambda: store.write_text(kind, "n", "text", keep=60),
            lambda: store.texts(kind),
        ):
            with pytest.raises(CorruptRecord, match=f"{key}.*Nothing was changed") as raised:
                call()
            assert "its run" not in str(raised.value)
        assert client.get(key) == b"x"
        client.delete(key)
    assert store.write_text(kind, "n", "text", keep=60) is not None


def test_bytes_that_are_no_text_in_redis(redis_url: str, opener: Open) -> None:
    """They are handed out readable: whoever reads a mode or a report says what is wrong with it."""
    store = opener(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.hset(NOTICE_KEY, "n", b"1 1.5 - caf\xe9")
        client.hset(REPORT_KEY, "w", b"1 1.5 9999999999 caf\xe9")
    texts = [store.read_text(NOTICES, "n").text, *(it.text for it in store.texts(REPORTS))]
    assert [text.isprintable() and text.startswith("caf") for text in texts] == [True, True]


@pytest.mark.parametrize("damage", REPORT_DAMAGE.values(), ids=REPORT_DAMAGE)
def test_a_damaged_report_in_redis(
    redis_url: str, opener: Open, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store = opener(redis_url)
    report(store)
    report(store, "other")
    with redis.Redis.from_url(redis_url) as client:
        client.hset(REPORT_KEY, "w", damage)
    for _ in range(2):
        assert reports(store) == ["other"]
    assert caplog.text.count("cannot be read and is skipped") == 1
    report(store)
    assert reports(store) == ["other", "w"], "its worker has fixed it"


@pytest.mark.parametrize("damage", SQL_NOTICE_DAMAGE)
def test_a_damaged_notice_in_sqlite(sqlite_url: str, opener: Open, damage: str) -> None:
    store = opener(sqlite_url)
    post(store)
    execute(sqlite_url, f"UPDATE graceful_texts SET {damage}")
    check_notice(store, "n of notices in graceful_texts")


@pytest.mark.parametrize("damage", SQL_REPORT_DAMAGE)
def test_a_damaged_report_in_sqlite(
    sqlite_url: str, opener: Open, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = opener(sqlite_url)
    report(store)
    execute(sqlite_url, f"UPDATE graceful_texts SET {damage}")
    report(store, "other")
    for _ in range(2):
        assert reports(store) == ["other"]
    assert caplog.text.count("cannot be read and is skipped") == 1
    report(store)
    assert reports(store) == ["other", "w"], "its worker has fixed it"


def test_nothing_is_left_of_reports_that_are_forgotten(redis_url: str, opener: Open) -> None:
    store = opener(redis_url)
    for number in range(1200):
        report(store, f"w{number}", keep=0.5 if number else 0.001)
    with redis.Redis.from_url(redis_url) as client:
        assert client.hexists(REPORT_KEY, "w0") == 0
        until(lambda: not store.texts(REPORTS), "the reports to be forgotten")
        until(
            lambda: not store.texts(REPORTS) and not client.exists(REPORT_KEY, UNTIL_KEY),
            "them to be deleted, step by step",
        )
        report(store)
        assert client.ttl(REPORT_KEY) == client.ttl(UNTIL_KEY) == -1, (
            "a server that is short of memory evicts what expires"
        )
        store.delete_text(REPORTS, "w")
        assert client.keys("*") == []


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_rows_of_reports_that_are_forgotten_go_away(
    kind: str, opener: Open, request: pytest.FixtureRequest
) -> None:
    url: str = request.getfixturevalue(f"{kind}_url")
    store = opener(url)
    for number in range(5):
        report(store, f"w{number}", keep=0.1)
    until(lambda: not store.texts(REPORTS), "the reports to be forgotten")
    for _ in range(60):
        report(store, "there")
    assert execute(url, "SELECT count(*) FROM graceful_texts") == 1


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_database_of_an_earlier_version_gains_the_tables(
    kind: str, opener: Open, request: pytest.FixtureRequest
) -> None:
    url: str = request.getfixturevalue(f"{kind}_url")
    earlier = opener(url)
    before = put(earlier)
    for table in ("quarantined_items", "quarantine_expiry", "texts"):
        execute(url, f"DROP TABLE graceful_{table}")
    store = opener(url)
    assert post(store)
    assert store.read_text(NOTICES, "n").text == "text"
    assert read(store) == before


def test_a_writer_of_sqlite_does_not_keep_readers_waiting(sqlite_url: str, opener: Open) -> None:
    store = opener(sqlite_url, timeout=0.3)
    post(store)
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN IMMEDIATE")
        assert store.read_text(NOTICES, "n").text == "text"
        assert store.texts(REPORTS) == []
        other.rollback()
