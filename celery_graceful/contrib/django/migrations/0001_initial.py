"""The tables of ``graceful_store = "django://…"``: runs, quarantined items, named texts."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations

from celery_graceful.contrib.django.create_tables import CreateTables


class Migration(migrations.Migration):  # type: ignore[misc]  # Django ships no types
    """Creates the tables that do not exist; a store of SQLAlchemy may have made them."""

    initial = True
    dependencies: ClassVar[list[tuple[str, str]]] = []
    operations: ClassVar[list[Any]] = [CreateTables()]
