"""Customers in the admin."""

from __future__ import annotations

from django.contrib import admin

from customers.models import Customer


@admin.register(Customer)
class CustomerAdmin(admin.ModelAdmin):
    """Customers, to be found by name and address."""

    list_display = ("name", "email", "wants_news", "points")
    list_filter = ("wants_news",)
    search_fields = ("name", "email")
