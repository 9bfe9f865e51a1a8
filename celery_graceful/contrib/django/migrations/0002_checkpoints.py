"""The table of ``Atomic.django``: the checkpoints of atomic runs under way."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations

from celery_graceful.contrib.django.create_checkpoints import CreateCheckpoints


class Migration(migrations.Migration):  # type: ignore[misc]  # Django ships no types
    """Creates the table, unless a run has made it before the app was installed."""

    dependencies: ClassVar[list[tuple[str, str]]] = [("celery_graceful", "0001_initial")]
    operations: ClassVar[list[Any]] = [CreateCheckpoints()]
