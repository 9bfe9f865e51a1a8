"""The permissions of the screen in the admin: a model without a table."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):  # type: ignore[misc]  # Django ships no types
    """Makes no table and changes none."""

    dependencies: ClassVar[list[tuple[str, str]]] = [("celery_graceful", "0002_checkpoints")]
    operations: ClassVar[list[Any]] = [
        migrations.CreateModel(
            name="Run",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
            ],
            options={
                "verbose_name": "run",
                "verbose_name_plural": "runs",
                "permissions": (
                    ("operate_run", "Can pause, resume, cancel and retry runs"),
                    ("start_run", "Can start runs"),
                    ("maintain_run", "Can begin and end maintenance"),
                ),
                "managed": False,
                "default_permissions": ("view",),
            },
        ),
    ]
