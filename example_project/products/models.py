"""What the shop sells: a poster of each airport."""

from __future__ import annotations

from django.db import models


class Product(models.Model):
    """A poster. Its SKU is the airport's ICAO code."""

    sku = models.CharField(max_length=10, unique=True)
    title = models.CharField(max_length=200)
    city = models.CharField(max_length=100)
    country = models.CharField(max_length=2)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    pieces = models.PositiveIntegerField("pieces in stock", default=0)

    class Meta:
        ordering = ("sku",)

    def __str__(self) -> str:
        return f"{self.title} ({self.sku})"
