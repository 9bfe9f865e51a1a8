"""``manage.py checksum``: whether the products are those of a plain loop over the file."""

from __future__ import annotations

import csv
import hashlib
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from products.airports import Rejected, airports_csv, product_of
from products.models import Product


class Command(BaseCommand):
    """Compares the table with the file."""

    help = "Compare the products in the database with those of a plain loop over the CSV file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", nargs="?", help="the CSV file; default: the airports")

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = _line(_by_plain_loop(options["path"] or airports_csv()))
        found = _line(Product.objects.iterator())
        self.stdout.write(f"plain loop  {wanted}\ndatabase    {found}")
        if wanted != found:
            raise CommandError("They differ: is the import still running?")


def _by_plain_loop(path: str) -> Iterator[Product]:
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            try:
                yield product_of(row)
            except Rejected:
                continue


def _line(products: Iterable[Product]) -> str:
    # Sorted here: each database has its own order of texts.
    rows = sorted((p.sku, p.title, p.city, p.country, f"{p.price:.2f}") for p in products)
    digest = hashlib.sha256("\n".join("\t".join(row) for row in rows).encode())
    return f"{len(rows):>6} products  sha256 {digest.hexdigest()[:16]}"
