"""The tables, as ``manage.py makemigrations`` writes them."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = ()

    operations = (
        migrations.CreateModel(
            name="Product",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("sku", models.CharField(max_length=10, unique=True)),
                ("title", models.CharField(max_length=200)),
                ("city", models.CharField(max_length=100)),
                ("country", models.CharField(max_length=2)),
                ("price", models.DecimalField(decimal_places=2, max_digits=8)),
                ("pieces", models.PositiveIntegerField(default=0, verbose_name="pieces in stock")),
            ],
            options={
                "ordering": ("sku",),
            },
        ),
    )
