"""The tables, as ``manage.py makemigrations`` writes them."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = ()

    operations = (
        migrations.CreateModel(
            name="Customer",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=200)),
                ("email", models.EmailField(max_length=254, unique=True)),
                ("wants_news", models.BooleanField(default=True)),
                ("points", models.PositiveIntegerField(default=0, verbose_name="bonus points")),
            ],
        ),
    )
