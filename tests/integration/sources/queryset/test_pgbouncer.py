"""Behind PgBouncer in transaction mode, where the next query may come over another connection."""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from celery_graceful import sources
from tests.harness.django_aliases import alias_for
from tests.servers.process import HOST, Process, free_port
from tests.servers.users import folder_for, other_user

pytestmark = pytest.mark.postgres
#: Debian has it where only root looks.
PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
CONFIG = """
[databases]
* = host={host} port={server} user={user}
[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 1
"""


@pytest.fixture
def pooled(postgres_shop: str) -> Iterator[str]:
    """The alias of the shop's database through a pool of one connection."""
    from django.db import connections

    if PROGRAM is None:
        pytest.skip("PgBouncer is not installed")
    direct = connections.settings[postgres_shop]
    user, port = other_user("PgBouncer", ("postgres", "nobody")), free_port()
    folder = folder_for(user, "pgbouncer-")
    settings = {"server": direct["PORT"], "user": direct["USER"]}
    config = CONFIG.format(host=HOST, port=port, **settings)
    Path(folder, "pgbouncer.ini").write_text(config)
    process = Process([PROGRAM, "pgbouncer.ini"], log=folder / "log", user=user)
    url = make_url("postgresql+psycopg://").set(
        username=direct["USER"], host=HOST, port=port, database=direct["NAME"]
    )
    try:
        process.wait_until(lambda: _listens(port), 30)
        with alias_for(url.render_as_string()) as alias:
            yield alias
    finally:
        process.stop()
        shutil.rmtree(folder)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection((HOST, port), 1):
        return True
    return False


def test_two_runs_and_their_writes_share_one_connection(postgres_shop: str, pooled: str) -> None:
    from .conftest import empty
    from .models import Customer, Order

    empty(postgres_shop)
    names = [f"{number:02}" for number in range(20)]
    Customer.objects.using(pooled).bulk_create(Customer(name=name) for name in names)
    customers = Customer.objects.using(pooled)
    seen: list[Any] = []
    for (one, _), (other, _) in zip(
        sources.queryset(customers, batch=3),
        sources.queryset(customers, order_by="-name", batch=4),
        strict=True,
    ):
        seen.append((one.name, other.name))
        Order.objects.using(pooled).create(customer=one)
    assert seen == list(zip(names, reversed(names), strict=True))
    assert Order.objects.using(pooled).count() == 20
