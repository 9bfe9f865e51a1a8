"""Where the products come from: the table of airports in the package ``airportsdata``."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from importlib.resources import files

from products.models import Product

#: An airport with scheduled flights has a IATA code, and more people who know it.
KNOWN, UNKNOWN = Decimal("29.00"), Decimal("19.00")


class Rejected(ValueError):
    """A row of which no poster can be made."""


def airports_csv() -> str:
    """The path of the table: about 28,000 rows, 3 MB."""
    return str(files("airportsdata") / "airports.csv")


def product_of(row: Mapping[str, str]) -> Product:
    """The poster of an airport, not saved.

    Raises:
        Rejected: the row has no city, which is printed below the picture.
    """
    if not row["city"]:
        raise Rejected(f"{row['icao']}: no city")
    return Product(
        sku=row["icao"],
        title=row["name"],
        city=row["city"],
        country=row["country"],
        price=KNOWN if row["iata"] else UNKNOWN,
    )
