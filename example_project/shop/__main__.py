"""``python -m shop COMMAND``: sample data, and sending the tasks."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from celery.result import AsyncResult

from shop import sample
from shop.celery import app
from shop.imports import import_products
from shop.mailing import send_mailing
from shop.statements import nightly_statements
from shop.warehouse import sync_stock

__all__ = ["main"]


def main() -> None:
    """Read the command line and do what it says."""
    options = _parser().parse_args()
    options.run(options)


def _sample(options: argparse.Namespace) -> None:
    sample.fill(options.customers)
    sample.write_products(options.csv, options.products)
    print(f"{options.customers} customers, and {options.products} products in {options.csv}")


def _import(options: argparse.Namespace) -> None:
    _sent(import_products.delay(options.csv))


def _mail(options: argparse.Namespace) -> None:
    _sent(send_mailing.delay(options.campaign, options.subject))


def _statements(options: argparse.Namespace) -> None:
    _sent(nightly_statements.delay(*([options.day] if options.day else [])))


def _stock(options: argparse.Namespace) -> None:
    _sent(sync_stock.delay())


def _sent(result: AsyncResult[Any]) -> None:
    print(result.id)
    print(f"Sent. See how it goes on with: python -m shop show {result.id}", file=sys.stderr)


def _show(options: argparse.Namespace) -> None:
    result: AsyncResult[Any] = app.AsyncResult(options.id)
    print(result.state, json.dumps(result.info, default=str))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m shop", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("sample", help="make sample data; replaces the customers")
    command.add_argument("--customers", type=int, default=20_000)
    command.add_argument("--products", type=int, default=50_000)
    command.add_argument("--csv", default="products.csv")
    command.set_defaults(run=_sample)

    command = commands.add_parser("import", help="send the CSV import")
    command.add_argument("csv", nargs="?", default="products.csv")
    command.set_defaults(run=_import)

    command = commands.add_parser("mail", help="send the mailing")
    command.add_argument("campaign", nargs="?", default="spring")
    command.add_argument("--subject", default="News from the shop")
    command.set_defaults(run=_mail)

    command = commands.add_parser("statements", help="send the nightly aggregate")
    command.add_argument("day", nargs="?", help="such as 2026-01-31; default: yesterday")
    command.set_defaults(run=_statements)

    command = commands.add_parser("stock", help="send the copying of the warehouse's stock")
    command.set_defaults(run=_stock)

    command = commands.add_parser("show", help="state and progress, or the result, of a task")
    command.add_argument("id")
    command.set_defaults(run=_show)
    return parser


if __name__ == "__main__":
    main()
