"""The warehouse's database, which is reached through a tunnel."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings

from celery_graceful import background_process, ready

if TYPE_CHECKING:
    import psycopg

_HERE = "127.0.0.1"


@contextmanager
def tunnel_to_warehouse() -> Iterator[psycopg.Connection[Any]]:
    """A connection, by a tunnel that is gone with this block, whatever ends it."""
    import psycopg  # nothing else needs it when the shop itself is on SQLite

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
