"""Products in the admin."""

from __future__ import annotations

from django.contrib import admin

from products.models import Product


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    """Posters, to be found by airport and city."""

    list_display = ("sku", "title", "city", "country", "price", "pieces")
    list_filter = ("country",)
    search_fields = ("sku", "title", "city")
