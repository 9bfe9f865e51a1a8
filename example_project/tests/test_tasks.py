"""The shop's tasks, interrupted and crashed after each of their items: no broker, no worker.

Run in this project's folder: ``python -m pytest tests``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shop import database, mail_client, sample, settings
from shop.imports import import_products
from shop.mailing import send_mailing
from shop.statements import nightly_statements

from celery_graceful.testing import assert_resumable, run_until

CUSTOMERS = 7


@pytest.fixture(autouse=True)
def own_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A database for each test, with customers and their orders."""
    monkeypatch.setattr(settings, "DATABASE", str(tmp_path / "shop.sqlite3"))
    sample.fill(CUSTOMERS)
    yield
    database._local.connection.close()
    del database._local.connection


def rows(table: str) -> list[tuple[Any, ...]]:
    with database.connect() as db:
        return [tuple(row) for row in db.execute(f"SELECT * FROM {table} ORDER BY 1, 2")]


def empty(table: str) -> None:
    with database.connect() as db:
        db.execute(f"DELETE FROM {table}")


def test_the_import(tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_text("sku,title,price\nA,Apple,1.20\nB,Bread,ask us\nC,Cheese,3\nD,Dates,4.5\n")
    assert_resumable(
        import_products,
        (str(path),),
        outcome=lambda: rows("products"),
        reset=lambda: empty("products"),
    )


def test_the_statements() -> None:
    assert_resumable(
        nightly_statements,
        outcome=lambda: rows("statements"),
        reset=lambda: empty("statements"),
    )


class MailService:
    """Takes a mail once for each key, and one address never."""

    def __init__(self) -> None:
        self.mails: dict[str, str] = {}

    def send(self, address: str, subject: str, *, key: str) -> None:
        if address == "customer3@example.com":
            raise mail_client.MailRefused(address)
        self.mails[key] = address


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> MailService:
    service = MailService()
    monkeypatch.setattr(mail_client, "send", service.send)
    return service


def test_the_mailing(service: MailService) -> None:
    assert_resumable(
        send_mailing,
        ("spring", "Hello"),
        outcome=lambda: service.mails,
        reset=service.mails.clear,
    )


def test_the_mailing_goes_on_with_the_next_recipient(service: MailService) -> None:
    run = run_until(send_mailing, ("spring", "Hello"), items=4)
    assert run.carry == {"sent": 3, "refused": 1}
    service.mails.clear()
    assert run.resume().result == {"sent": CUSTOMERS - 1, "refused": 1}
    assert sorted(service.mails.values()) == [f"customer{n}@example.com" for n in (5, 6, 7)]
