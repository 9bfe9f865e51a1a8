"""The Celery app: ``celery -A shop worker``."""

from __future__ import annotations

from celery import Celery
from celery.schedules import crontab

from celery_graceful import Graceful
from shop import settings

__all__ = ["app"]

app = Celery(
    "shop",
    broker=settings.REDIS_URL,
    backend=settings.REDIS_URL,
    include=["shop.imports", "shop.mailing", "shop.statements", "shop.warehouse"],
)
app.conf.update(
    timezone="UTC",
    broker_connection_retry_on_startup=True,
    beat_schedule={
        "nightly-statements": {
            "task": "shop.nightly_statements",
            "schedule": crontab(hour=2, minute=15),
        },
    },
)

# All that is needed besides the tasks' base class.
graceful = Graceful(app)
