"""``manage.py sample``: customers and orders, always the same."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from decimal import Decimal
from typing import Any

from customers.models import Customer
from django.core.management.base import BaseCommand
from django.db import transaction
from django.utils import timezone

from orders.models import Order, Statement


class Command(BaseCommand):
    """Fills the tables."""

    help = "Replace all customers, each with two orders of yesterday."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--customers", type=int, default=20_000)

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        yesterday = timezone.localdate() - timedelta(days=1)
        for model in (Statement, Order, Customer):
            model.objects.all().delete()
        customers = Customer.objects.bulk_create(
            (
                Customer(name=f"Customer {n}", email=f"customer{n}@example.com")
                for n in range(1, options["customers"] + 1)
            ),
            batch_size=1000,
        )
        Order.objects.bulk_create(
            (
                Order(customer=customer, day=yesterday, total=total)
                for n, customer in enumerate(customers, 1)
                for total in (Decimal(100 + n) / 100, Decimal("2.50"))
            ),
            batch_size=1000,
        )
        self.stdout.write(f"{len(customers)} customers, with two orders each")
