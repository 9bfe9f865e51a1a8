"""The import: interrupted and crashed after each batch, without a broker or a worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from products.models import Product
from products.tasks import import_products

from celery_graceful.testing import assert_resumable

pytestmark = pytest.mark.django_db(transaction=True)

HEADER = "icao,iata,name,city,country\n"
ROW = "A{0},{1},Field {0},Town {0},DE\n"


@pytest.fixture
def table(tmp_path: Path) -> str:
    """A file of 450 airports: one in three known, and one without a city."""
    rows = [ROW.format(n, "XYZ" if n % 3 == 0 else "") for n in range(449)]
    path = tmp_path / "airports.csv"
    path.write_text(
        HEADER + "".join(rows[:200]) + "NOWHERE,,Lost Field,,DE\n" + "".join(rows[200:])
    )
    return str(path)


def products() -> list[Any]:
    return list(Product.objects.values_list("sku", "title", "city", "price"))


def test_it_may_be_interrupted_anywhere(table: str) -> None:
    assert_resumable(
        import_products,
        (table,),
        outcome=products,
        reset=lambda: Product.objects.all().delete(),
    )


def test_it_counts_what_it_rejects(table: str) -> None:
    assert import_products(table) == {"imported": 449, "rejected": 1}
    call_command("checksum", table)
    Product.objects.filter(sku="A7").delete()
    with pytest.raises(CommandError, match="They differ"):
        call_command("checksum", table)


def test_a_second_import_changes_what_has_changed(table: str) -> None:
    import_products(table)
    Path(table).write_text(HEADER + ROW.format(7, "NOW"))
    import_products(table)
    assert Product.objects.get(sku="A7").price == 29
    assert Product.objects.count() == 449
