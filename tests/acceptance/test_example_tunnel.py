"""The example project's tunnel to a real database: nothing of it is left, whatever happens."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tests.harness import wait_for
from tests.servers import MissingProgram
from tests.servers.fixtures import made_or_skipped
from tests.shop.project import Shop, opened

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

#: The pieces of each product.
STOCK = [(f"SKU-{n:06}", n % 17) for n in range(500)]
MAKE_PRODUCTS = """
from products.models import Product
Product.objects.bulk_create(Product(sku=f"SKU-{n:06}", title="Poster", price=1) for n in range(500))
"""


@contextmanager
def program(name: str) -> Iterator[str]:
    found = shutil.which(name)
    if found is None:
        raise MissingProgram(name, f"install the system's package {name}")
    yield found


@pytest.fixture
def warehouse(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    """The warehouse's database, with stock."""
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE stock (sku text, pieces int)")
        connection.cursor().executemany("INSERT INTO stock VALUES (%s, %s)", STOCK)
        connection.commit()
        yield connection


@pytest.fixture
def shop(
    tmp_path: Path, redis_url: str, postgres_url: str, warehouse: psycopg.Connection[Any]
) -> Iterator[Shop]:
    made_or_skipped(lambda: program("socat")).__enter__()
    with opened(tmp_path, redis_url, WAREHOUSE_URL=postgres_url.replace("+psycopg", "")) as shop:
        yield shop


def tunnels(shop: Shop) -> list[psutil.Process]:
    """What still runs of the tunnels to this shop's warehouse."""
    there = "TCP:" + shop.env["WAREHOUSE_URL"].rpartition("@")[2].partition("/")[0]
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if there in (process.info["cmdline"] or []):
            found.append(process)
    return found


def test_the_stock_comes_through(shop: Shop) -> None:
    shop.start_worker().wait_ready()
    shop.manage("shell", "-v0", "-c", MAKE_PRODUCTS)
    assert shop.send("shop.sync_stock").get(timeout=60) == {"products": len(STOCK)}
    assert sorted(shop.rows("SELECT sku, pieces FROM products_product")) == STOCK
    assert tunnels(shop) == []


def test_a_query_that_fails_ends_the_tunnel(shop: Shop, warehouse: psycopg.Connection[Any]) -> None:
    warehouse.execute("DROP TABLE stock")
    warehouse.commit()
    shop.start_worker().wait_ready()
    sent = shop.send("shop.sync_stock")
    sent.get(timeout=60, propagate=False)
    assert sent.state == "FAILURE"
    assert 'relation "stock" does not exist' in str(sent.result)
    assert tunnels(shop) == []


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGKILL], ids=["cold", "killed"])
def test_the_end_of_the_worker_ends_the_tunnel(
    shop: Shop, warehouse: psycopg.Connection[Any], number: signal.Signals
) -> None:
    warehouse.execute("LOCK TABLE stock")  # until the end of this transaction
    worker = shop.start_worker().wait_ready()
    shop.send("shop.sync_stock")
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    wait_for(lambda: warehouse.execute(waiting).fetchall() == [(1,)], 30, "the query")
    assert tunnels(shop)
    worker.signal(number)
    wait_for(lambda: not tunnels(shop), 15, lambda: f"the end of {tunnels(shop)}")


def test_without_the_program_it_says_so(shop: Shop) -> None:
    shop.env["TUNNEL"] = "no-such-tunnel {port}"
    worker = shop.start_worker().wait_ready()
    sent = shop.send("shop.sync_stock")
    assert isinstance(sent.get(timeout=60, propagate=False), FileNotFoundError)
    worker.wait_log("No such file or directory: 'no-such-tunnel'")
