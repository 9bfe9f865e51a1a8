"""Orders and statements in the admin."""

from __future__ import annotations

from django.contrib import admin

from orders.models import Order, Statement


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    """Orders by day."""

    list_display = ("pk", "customer", "day", "total")
    date_hierarchy = "day"
    raw_id_fields = ("customer",)


@admin.register(Statement)
class StatementAdmin(admin.ModelAdmin):
    """Statements by day."""

    list_display = ("customer", "day", "total")
    date_hierarchy = "day"
    raw_id_fields = ("customer",)
