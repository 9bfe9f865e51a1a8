"""Every call of a store is bounded: it touches a few hundred records, whatever their number."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from sqlalchemy import Connection, Engine, create_engine, event, text

from celery_graceful.model.run.record import Outcome, Record, RunKey, State
from celery_graceful.stores.base import REPORTS, Store
from celery_graceful.testing.store_contract.samples import OWNER, RUN, listed, put, until

Open = Callable[..., Store]
ENDED = Record(State.ENDED, fence=1, outcome=Outcome.COMPLETED)
#: Runs of each kind: that are due, that never are, and that have ended.
MANY = 1_200
#: Commands that a script may make, for 250 records, and rows that a statement may concern.
COMMANDS, ROWS = 4 * 250 + 20, 500


def run(name: object) -> RunKey:
    return RunKey("proj.tasks.reindex", str(name))


def fill(store: Store) -> None:
    for n in range(MANY):
        put(store, run=run(f"due-{n}"), due_in=-1)
        put(store, run=run(f"never-{n}"), due_in=None)
        assert store.swap(run(f"ended-{n}"), 0, ENDED, keep=600).done


def use(store: Store) -> None:
    """Every call that concerns more than one record."""
    assert len(store.due(2 * MANY)) == MANY
    assert len(listed(store, 4 * MANY)) == 3 * MANY
    assert len(listed(store, MANY + 1)) == MANY + 1
    assert len(store.named("due-", 2 * MANY)) == MANY
    assert len(store.named("", MANY)) == MANY
    store.renew(OWNER, [run(f"due-{n}") for n in range(MANY)], due_in=60)
    assert store.due(MANY) == []
    for n in range(60):  # enough of them for a sweep
        assert store.swap(run(f"short-{n}"), 0, ENDED, keep=0.01).done
    put(store)
    for n in range(MANY):
        assert store.quarantine(RUN, 1, n, "entry", keep=600)
        store.write_text(REPORTS, f"w{n}", "report", keep=600)
    assert len(store.quarantined(RUN, 0, MANY)) == store.count_quarantined(RUN, 0, 2 * MANY) == MANY
    store.drop_quarantined(RUN, range(0, MANY, 2))
    store.expire_quarantined(RUN, keep=300)
    store.drop_quarantined_range(RUN, 1)
    assert len(store.texts(REPORTS)) == MANY
    for _ in range(60):
        store.write_text(REPORTS, "short", "report", keep=0.01)


def test_no_script_of_redis_touches_more_than_a_part(redis_url: str, opener: Open) -> None:
    store = opener(redis_url)
    fill(store)
    with redis.Redis.from_url(redis_url) as client, client.monitor() as monitor:
        use(store)
        client.set("the", "end")
        touched = list(_commands(monitor))
    assert len(touched) > MANY
    assert max(touched) <= COMMANDS


def _commands(monitor: Any) -> Iterator[int]:
    """How many commands each script made, until the end."""
    made = 0
    for said in monitor.listen():
        if said["client_type"] == "lua":
            made += 1
        elif said["command"].startswith("EVAL"):
            yield made
            made = 0
        elif said["command"].startswith("SET the"):
            yield made
            return


@contextmanager
def seen(engine_of: str) -> Iterator[list[tuple[str, Any, int]]]:
    """The statements that SQLAlchemy executes, their parameters, and how many rows they concern."""
    statements: list[tuple[str, Any, int]] = []

    def note(
        connection: Connection, cursor: Any, statement: str, parameters: Any, *_: object
    ) -> None:
        if connection.engine.url.get_backend_name() == engine_of:
            statements.append((statement, parameters, cursor.rowcount))

    event.listen(Engine, "after_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(Engine, "after_cursor_execute", note)


def plans(
    connection: Connection, explain: str, statements: list[tuple[str, Any, int]]
) -> Iterator[tuple[str, list[str]]]:
    """How the database executes each statement, step by step."""
    for statement, given, _ in {it[0]: it for it in statements}.values():
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            one = given[0] if isinstance(given, list) else given  # of those executed for many
            plan = connection.exec_driver_sql(f"{explain} {statement}", one)
            yield statement, [str(row[-1]).strip() for row in plan]


def test_no_statement_on_sqlite_reads_what_it_does_not_answer(
    sqlite_url: str, opener: Open
) -> None:
    store = opener(sqlite_url)
    fill(store)
    with seen("sqlite") as statements:
        use(store)
    engine = create_engine(sqlite_url)
    with engine.connect() as connection:
        for statement, steps in plans(connection, "EXPLAIN QUERY PLAN", statements):
            whole = [it for it in steps if "TEMP B-TREE" in it or it.startswith("SCAN graceful")]
            assert not whole, (statement, steps)
    engine.dispose()


@pytest.mark.postgres
def test_no_statement_on_postgresql_reads_what_it_does_not_answer(
    postgres_url: str, opener: Open
) -> None:
    store = opener(postgres_url)
    fill(store)
    with seen("postgresql") as statements:
        use(store)
    assert max(rows for _, _, rows in statements) <= ROWS
    engine = create_engine(postgres_url)
    with engine.connect() as connection:
        # As if there were a million rows.
        connection.execute(text("SET enable_seqscan = off"))
        connection.execute(text("SET enable_bitmapscan = off"))
        for statement, steps in plans(connection, "EXPLAIN", statements):
            whole = [it for it in steps if "Sort" in it or "Seq Scan" in it]
            assert not whole, (statement, steps)
    engine.dispose()


def test_members_without_a_record_are_removed_step_by_step(redis_url: str, opener: Open) -> None:
    """As after an eviction: the index knows runs that are not there."""
    store = opener(redis_url)
    put(store)
    with redis.Redis.from_url(redis_url) as client:
        begun = "graceful:{test}:begun"
        for first in range(0, 3_000, 500):
            client.zadd(begun, {f"gone:{n}": -1.0 for n in range(first, first + 500)})
        with client.monitor() as monitor:
            until(lambda: dict(listed(store, 1)).keys() == {RUN}, "that the record is found")
            client.set("the", "end")
            assert max(_commands(monitor)) <= COMMANDS
        assert client.zcard(begun) == 1


def test_a_listing_misses_no_run_since_others_move(server_url: str, opener: Open) -> None:
    """Leases are renewed while a listing is read: whoever is renewed moves behind the others."""
    store, still = opener(server_url), {run(f"still-{n}") for n in range(400)}
    for n in range(200):
        put(store, run=run(f"moved-{n}"), due_in=60)
    for each in still:
        put(store, run=each, due_in=120)
    ended = threading.Event()

    mine = opener(server_url)

    def renew() -> None:
        while not ended.is_set():
            for due_in in (180, 60):
                for n in range(0, 200, 20):
                    moved = [run(f"moved-{i}") for i in range(n, n + 20)]
                    mine.renew(OWNER, moved, due_in=due_in)

    other = threading.Thread(target=renew)
    other.start()
    try:
        for _ in range(40):
            assert still <= dict(listed(store, 10_000)).keys()
    finally:
        ended.set()
        other.join()
    mine.close()


def test_large_records_are_answered_a_few_at_a_time(redis_url: str, opener: Open) -> None:
    store = opener(redis_url)
    large = Record(State.RUNNING, fence=1, owner=OWNER, checkpoint="x" * 100_000)
    for n in range(60):
        put(store, large, run=run(n))
    with redis.Redis.from_url(redis_url) as client, client.monitor() as monitor:
        assert len(listed(store, 60)) == 60
        client.set("the", "end")
        scripts = [made for made in _commands(monitor) if made]
    assert len(scripts) >= 6
