"""Orders, and the mails that customers get about them."""

from __future__ import annotations

from customers.models import Customer
from django.db import models


class Order(models.Model):
    """One purchase."""

    customer = models.ForeignKey(Customer, models.CASCADE, related_name="orders")
    day = models.DateField()
    total = models.DecimalField(max_digits=8, decimal_places=2)

    class Meta:
        indexes = (models.Index(fields=["customer", "day"]),)

    def __str__(self) -> str:
        return f"Order {self.pk}: {self.total}"


class Statement(models.Model):
    """What a customer bought on one day."""

    customer = models.ForeignKey(Customer, models.CASCADE, related_name="statements")
    day = models.DateField()
    total = models.DecimalField(max_digits=8, decimal_places=2)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["customer", "day"], name="one_statement_a_day"),
        )

    def __str__(self) -> str:
        return f"{self.day}: {self.total}"
