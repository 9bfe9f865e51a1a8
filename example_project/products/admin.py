"""Products in the admin."""

from __future__ import annotations

from django.contrib import admin

from celery_graceful.contrib.django.run_links import RunLinkMixin
from products.models import Product


@admin.register(Product)
class ProductAdmin(RunLinkMixin, admin.ModelAdmin):
    """Posters, to be found by airport and city; each links to the run that imported it."""

    list_display = ("sku", "title", "city", "country", "price", "pieces")
    list_filter = ("country",)
    search_fields = ("sku", "title", "city")

    def run_tag(self, product: Product) -> str:
        """The imports are started with this tag."""
        return "products"
