"""An application whose schedule comes from the test's settings; ``DATABASE`` sets up Django."""

from __future__ import annotations

import os

from tests.acceptance.apps.making import make_app, note

if os.environ.get("DATABASE"):
    import django
    from django.conf import settings

    settings.configure(
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DATABASE"]}
        },
        INSTALLED_APPS=["django_celery_beat"],
        USE_TZ=True,
    )
    django.setup()

app = make_app("beating")


@app.task(name="beating.tell")
def tell(entry: str) -> None:
    """Notes which entry has sent it."""
    note(entry)
