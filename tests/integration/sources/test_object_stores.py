"""A server with the API of S3, as the stores are used."""

from __future__ import annotations

import gzip
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from obstore.fsspec import FsspecStore
from obstore.store import S3Store

from celery_graceful.errors import SourceError
from celery_graceful.sources import csv_rows, lines, objects, parquet
from celery_graceful.sources.reading import listings
from tests.harness.waiting import wait_for
from tests.unit.sources.test_parquet import numbered

BUCKET = "shop"


class Server:
    """moto's server, in a process of its own."""

    def __init__(self, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._log = log.open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._port)],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        wait_for(self._answers, 60, "the S3 server answers")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def store(self, bucket: str) -> S3Store:
        return S3Store(bucket, client_options={"allow_http": True}, **self._config())

    def file_system(self) -> Any:
        return FsspecStore("s3", config=self._config(), client_options={"allow_http": True})

    def create(self, bucket: str) -> None:
        request = f"PUT /{bucket} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self._port), timeout=30) as connection:
            connection.sendall(request.encode())
            assert b" 200 " in connection.recv(1000).splitlines()[0]

    def _config(self) -> Any:
        return {
            "endpoint": f"http://127.0.0.1:{self._port}",
            "access_key_id": "key",
            "secret_access_key": "secret",
            "region": "us-east-1",
            "virtual_hosted_style_request": False,
        }

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._log.name
        try:
            socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
        except OSError:
            return False
        return True


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("s3") / "log")
    server.create(BUCKET)
    yield server
    server.stop()


@pytest.fixture(params=["obstore", "fsspec"])
def where(request: pytest.FixtureRequest, server: Server) -> Any:
    """Makes the first argument of a source of a key."""
    if request.param == "obstore":
        store = server.store(BUCKET)
        return lambda key: (store, key)
    file_system = server.file_system()
    return lambda key: (file_system, f"{BUCKET}/{key}")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_interrupted_at_random(server: Server, where: Any, pack: Any) -> None:
    data = b"n,text\n" + b"".join(b"%d,%d\n" % (n, n * 7) for n in range(50_000))
    server.store(BUCKET).put("lists/rows.csv", pack(data))
    source, rows, cursor = where("lists/rows.csv"), [], None
    chance = random.Random(5)
    while True:
        left = chance.randrange(1, 20_000)
        for row, cursor in csv_rows(source, cursor=cursor, lists=True):  # noqa: B007, B020
            rows.append(row)
            left -= 1
            if not left:
                break
        else:
            break
    assert rows == [line.split(",") for line in data.decode().splitlines()[1:]]


def test_parquet(server: Server, where: Any) -> None:
    server.store(BUCKET).put("rows.parquet", numbered(3, 2000))
    pairs = list(parquet(where("rows.parquet"), columns=["n"]))
    assert [row["n"] for row, _ in pairs] == list(range(6000))
    assert (
        list(parquet(where("rows.parquet"), cursor=pairs[3500][1], columns=["n"])) == (pairs[3501:])
    )


def test_an_object_that_is_replaced_or_deleted(server: Server, where: Any) -> None:
    store = server.store(BUCKET)
    store.put("rows", b"1\n2\n")
    _, cursor = next(lines(where("rows")))
    assert next(lines(where("rows"), cursor=cursor))[0] == "2"
    store.put("rows", b"1\n3\n")
    with pytest.raises(SourceError, match=r"rows.* changed since .* another version of 4 bytes"):
        next(lines(where("rows"), cursor=cursor))
    store.delete("rows")
    with pytest.raises(FileNotFoundError, match="rows"):
        next(lines(where("rows"), cursor=cursor))


def test_an_object_that_is_replaced_while_it_is_read(server: Server) -> None:
    store = server.store(BUCKET)
    rows = b"".join(b"%d\n" % n for n in range(200_000))
    store.put("rows", rows)
    source = lines((store, "rows"))
    next(source)
    store.put("rows", rows[::-1])
    with pytest.raises(SourceError, match=r"replaced or deleted .* after byte \d+"):
        list(source)


def test_a_listing_with_changes_in_between(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "_PAGE", 100)
    server.create("listed")
    store = server.store("listed")
    keys = [f"logs/{n:04}" for n in range(250)]  # more than a page
    odd = ["logs-old/x", "logs/a b", "logs/a#b", "logs/%20", "logs/é", "logs/￮", "logs/😀", "m"]
    for key in keys + odd:
        store.put(key, b"1")
    expected = sorted(keys + odd)
    pairs = list(objects(store))
    assert [key for _, key in pairs] == expected
    logs = [key for key in expected if key.startswith("logs/")]
    for cursor in ("logs/0000", "logs/0249", "logs/a b", "logs/%20", "logs/￮", "logs/😀"):
        rest = [key for _, key in objects(store, "logs/", cursor=cursor)]
        assert rest == logs[logs.index(cursor) + 1 :]
    assert [key for _, key in objects(store, "logs/019")] == keys[190:200]
    store.delete("logs/0150")
    store.put("logs/0150a", b"1")
    assert next(objects(store, "logs/", cursor="logs/0150"))[1] == "logs/0150a"
    found = [key for _, key in objects(server.file_system(), "listed/logs/019")]
    assert found == [f"listed/{key}" for key in keys[190:200]]


def test_markers_of_folders_are_left_out_where_they_would_break_the_order(
    server: Server,
) -> None:
    server.create("marked")
    store = server.store("marked")
    for key in ("logs-old/x", "logs/1", "logs/2"):
        store.put(key, b"1")
    server.create("marked/logs/")  # the same request; obstore cannot write such a key
    assert [key for _, key in objects(store)] == ["logs-old/x", "logs/1", "logs/2"]
    assert [key for _, key in objects(store, cursor="logs-old/x")][-2:] == ["logs/1", "logs/2"]
