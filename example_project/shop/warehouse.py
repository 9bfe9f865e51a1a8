"""The warehouse's database, which is reached through a tunnel."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from celery import shared_task

from celery_graceful import GracefulTask, background_process, ready
from shop import database, settings

if TYPE_CHECKING:
    import psycopg

__all__ = ["sync_stock"]

_HERE = "127.0.0.1"
_UPSERT = """
INSERT INTO stock (sku, pieces) VALUES (?, ?)
ON CONFLICT (sku) DO UPDATE SET pieces = excluded.pieces
"""


@shared_task(name="shop.sync_stock", base=GracefulTask, acks_late=True)  # may run twice
def sync_stock() -> dict[str, int]:
    """Copy how many pieces of each product are there; returns the number of products."""
    with tunnel_to_warehouse() as warehouse:
        rows = warehouse.execute("SELECT sku, pieces FROM stock").fetchall()
    with database.connect() as db:
        db.executemany(_UPSERT, rows)
    return {"products": len(rows)}


@contextmanager
def tunnel_to_warehouse() -> Iterator[psycopg.Connection[Any]]:
    """A connection, by a tunnel that is gone with this block, whatever ends it."""
    import psycopg  # nothing else here needs it

    port = _free_port()
    with (
        background_process(
            _tunnel(port), ready=ready.port(_HERE, port), ready_timeout=10
        ) as tunnel,
        psycopg.connect(settings.WAREHOUSE_URL, host=_HERE, port=port) as connection,
    ):
        yield connection
        tunnel.check()


def _tunnel(port: int) -> list[str]:
    url = urlsplit(settings.WAREHOUSE_URL)
    there = {"host": url.hostname or _HERE, "remote": url.port or 5432}
    return [part.format(port=port, **there) for part in shlex.split(settings.TUNNEL)]


def _free_port() -> int:
    with closing(socket.create_server((_HERE, 0))) as server:
        return int(server.getsockname()[1])
