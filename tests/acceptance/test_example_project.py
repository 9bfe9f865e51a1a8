"""The example project as its user meets it: real workers, each task cut off by a deploy."""

from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
from celery import Celery

import celery_graceful
from tests.harness import Worker, producer, wait_for

PROJECT = Path(__file__).resolve().parents[2] / "example_project"
PACKAGE = Path(celery_graceful.__file__).parent
#: How much each task gets: enough to be cut off on the way.
PRODUCTS, RECIPIENTS, ACCOUNTS = 80_000, 600, 60_000
#: What the sample data comes to: two orders for each customer.
TOTAL = sum(100 + n + 250 for n in range(1, ACCOUNTS + 1))


class MailService:
    """A real HTTP server that fails by script: the request's number → the status it gets."""

    def __init__(self, failures: dict[int, int]) -> None:
        self.failures = failures
        self.accepted: list[str] = []
        self.keys: set[str] = set()
        self.requests = 0
        self._lock = threading.Lock()

    def answer(self, address: str, key: str) -> int:
        with self._lock:
            self.requests += 1
            status = self.failures.get(self.requests, 202)
            if status == 202:
                self.accepted.append(address)
                self.keys.add(key)
        return status

    @contextmanager
    def served(self) -> Iterator[str]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                mail = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(service.answer(mail["to"], self.headers["Idempotency-Key"]))
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: the test looks at what was accepted."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_address[1]}/mails"
            finally:
                server.shutdown()
                thread.join()


class Shop:
    """The project in a folder of its own: its commands, its database, two workers in turn."""

    def __init__(self, folder: Path, redis_url: str, start: Callable[..., Worker]) -> None:
        self.folder = folder
        self.database = folder / "shop.sqlite3"
        self.env = {
            # The plugin as these tests have it: the tree, or the installed wheel.
            "PYTHONPATH": os.pathsep.join([str(PROJECT), str(PACKAGE.parent)]),
            "SHOP_REDIS_URL": redis_url,
            "SHOP_DATABASE": str(self.database),
        }
        self._start = start

    def command(self, *words: str) -> str:
        """The output of ``python -m shop …``."""
        done = subprocess.run(
            [sys.executable, "-m", "shop", *words],
            cwd=self.folder,
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def sample(self, *, customers: int = 0, products: int = 0) -> Path:
        """Make sample data; returns the CSV file."""
        sizes = ["--customers", str(customers), "--products", str(products)]
        path = self.folder / "products.csv"
        self.command("sample", *sizes, "--csv", str(path))
        return path

    def worker(self) -> Worker:
        return self._start("shop", env=self.env)

    def deploy(self, midway: Callable[[], bool], send: Callable[[], str]) -> tuple[str, Worker]:
        """Send a task, stop its worker midway and start the next; returns the task id and that."""
        old = self.worker().wait_ready()
        task_id = send()
        wait_for(midway, 60, "the task to get going")
        old.signal(signal.SIGTERM)
        new = self.worker()
        assert old.wait() == 0
        assert "was interrupted: shutdown" in old.log()
        return task_id, new.wait_ready()

    def rows(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(self.database, timeout=30)) as db:
            return db.execute(query).fetchall()

    def number(self, query: str) -> int:
        return int(self.rows(query)[0][0])


@pytest.fixture
def shop(tmp_path: Path, redis_url: str, start_worker: Callable[..., Worker]) -> Shop:
    return Shop(tmp_path, redis_url, start_worker)


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    with producer(redis_url, redis_url) as app:
        yield app


def test_the_import_writes_every_row_once(shop: Shop, app: Celery) -> None:
    path = shop.sample(products=PRODUCTS)
    task_id, new = shop.deploy(
        lambda: shop.number("SELECT count(*) FROM products") > PRODUCTS // 10,
        lambda: shop.command("import", str(path)),
    )
    rejected = PRODUCTS // 1000
    result = app.AsyncResult(task_id).get(timeout=100)
    # Each row counted once: none was lost, none ran twice.
    assert result == {"imported": PRODUCTS - rejected, "rejected": rejected}
    with path.open(encoding="utf-8", newline="") as file:
        wanted = {row["sku"]: row for row in csv.DictReader(file) if row["price"] != "ask us"}
    stored = shop.rows("SELECT sku, title, cents FROM products")
    assert {sku for sku, _, _ in stored} == set(wanted)
    for sku, title, cents in stored:
        assert title == wanted[sku]["title"]
        assert cents == round(float(wanted[sku]["price"]) * 100)
    assert "resumes after cursor" in new.log()


def test_the_mailing_reaches_each_recipient_exactly_once(shop: Shop, app: Celery) -> None:
    shop.sample(customers=RECIPIENTS)
    # Two failures in a row, one on each side of the deploy, and an address that is refused.
    service = MailService({150: 503, 151: 429, 300: 400, RECIPIENTS - 100: 500})
    with service.served() as url:
        shop.env["SHOP_MAIL_URL"] = url
        task_id, new = shop.deploy(
            lambda: len(service.accepted) > RECIPIENTS // 4,
            lambda: shop.command("mail", "spring"),
        )
        result = app.AsyncResult(task_id).get(timeout=90)
    assert result == {"sent": RECIPIENTS - 1, "refused": 1}
    addresses = {email for (email,) in shop.rows("SELECT email FROM customers")}
    assert set(Counter(service.accepted).values()) == {1}
    assert len(addresses - set(service.accepted)) == 1  # the one that was refused
    assert len(service.keys) == len(service.accepted)
    # Not one request more than the recipients and the retries of those who failed.
    assert service.requests == RECIPIENTS + 3
    assert "resumes after cursor" in new.log()


def test_the_aggregate_adds_up_to_the_same_sum(shop: Shop, app: Celery) -> None:
    shop.sample(customers=ACCOUNTS)
    task_id, new = shop.deploy(
        lambda: shop.number("SELECT count(*) FROM statements") > ACCOUNTS // 10,
        lambda: shop.command("statements"),
    )
    result = app.AsyncResult(task_id).get(timeout=100)
    (day,) = {day for (day,) in shop.rows("SELECT DISTINCT day FROM orders")}
    assert result == {"day": day, "cents": TOTAL}
    assert shop.number("SELECT sum(cents) FROM statements") == TOTAL
    assert shop.number("SELECT count(*) FROM statements") == ACCOUNTS
    state, _, shown = shop.command("show", task_id).partition(" ")
    assert (state, json.loads(shown)) == ("SUCCESS", result)
    assert "resumes after cursor" in new.log()


def test_beat_sends_a_task_that_exists(shop: Shop, app: Celery) -> None:
    code = (
        "import json; from shop.celery import app; app.loader.import_default_modules(); "
        "print(json.dumps({n: [e['task'], e['task'] in app.tasks]"
        " for n, e in app.conf.beat_schedule.items()}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **shop.env},
        capture_output=True,
        text=True,
        timeout=60,
    )
    entries = cast("dict[str, Any]", json.loads(done.stdout))
    assert entries == {"nightly-statements": ["shop.nightly_statements", True]}
    shop.sample(customers=10)
    shop.worker().wait_ready()
    result = app.send_task("shop.nightly_statements").get(timeout=60)  # as beat sends it
    assert result["cents"] == sum(350 + n for n in range(1, 11))


def test_its_own_tests_pass(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", PROJECT / "tests"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
