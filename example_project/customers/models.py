"""Whom the shop sells to."""

from __future__ import annotations

from django.db import models


class Customer(models.Model):
    """A person with an account."""

    name = models.CharField(max_length=200)
    email = models.EmailField(unique=True)
    wants_news = models.BooleanField(default=True)
    points = models.PositiveIntegerField("bonus points", default=0)

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>"
