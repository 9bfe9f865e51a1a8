"""Models of a shop, in a registry of their own: no project's INSTALLED_APPS has them.

Import it after ``django_aliases.configure()``.
"""

# mypy: disable-error-code="misc"
from __future__ import annotations

import uuid
from typing import Any

import django
from django.apps.registry import Apps
from django.db import models

#: Relations are followed backwards between the models of installed packages only.
registry = Apps(("tests.integration.sources.queryset.shop",))


class Customer(models.Model):
    name = models.CharField(max_length=20)
    city = models.CharField(max_length=20, null=True)

    class Meta:
        app_label = "shop"
        apps = registry
        ordering = ("-name",)


class Tag(models.Model):
    name = models.CharField(max_length=20, primary_key=True)

    class Meta:
        app_label = "shop"
        apps = registry


class Order(models.Model):
    customer = models.ForeignKey(Customer, models.SET_NULL, null=True, related_name="orders")
    parent = models.ForeignKey("self", models.SET_NULL, null=True, related_name="parts")
    tags = models.ManyToManyField(Tag)
    text = models.CharField(max_length=20, default="")
    note = models.TextField(null=True)
    total = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    discount = models.DecimalField(max_digits=12, decimal_places=4, null=True)
    placed_at = models.DateTimeField(null=True)
    day = models.DateField(null=True)
    clock = models.TimeField(null=True)
    ref = models.UUIDField(default=uuid.uuid4)
    weight = models.FloatField(null=True)
    paid = models.BooleanField(default=False)
    rank = models.IntegerField(null=True)
    big = models.BigIntegerField(default=0)
    span = models.DurationField(null=True)
    raw = models.BinaryField(default=b"")
    data = models.JSONField(null=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "shop"
        apps = registry
        ordering = ("-placed_at",)


class Urgent(Order):
    """A child table: its primary key is a relation."""

    level = models.IntegerField(default=0)

    class Meta:
        app_label = "shop"
        apps = registry


class Ticket(models.Model):
    """Rows whose primary key says nothing about when they were made."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    customer = models.OneToOneField(Customer, models.CASCADE, null=True)

    class Meta:
        app_label = "shop"
        apps = registry


MODELS: list[Any] = [Customer, Tag, Order, Urgent, Ticket]

if django.VERSION >= (5, 2):

    class Seat(models.Model):
        pk = models.CompositePrimaryKey("hall", "number")
        hall = models.CharField(max_length=20)
        number = models.IntegerField()
        taken = models.BooleanField(default=False)

        class Meta:
            app_label = "shop"
            apps = registry

    MODELS.append(Seat)
