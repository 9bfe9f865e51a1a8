"""What the applications here share: one configured from the variables the test has set."""

from __future__ import annotations

import json
import os
from typing import Any

from celery import Celery

from celery_graceful import Graceful
from tests.harness.ledger import Ledger


def make_app(name: str) -> Celery:
    """An application with the plugin; ``SETTINGS`` is a JSON object of more settings."""
    app = Celery(name, broker=os.environ.get("BROKER_URL"), backend=os.environ.get("RESULT_URL"))
    settings: dict[str, Any] = json.loads(os.environ.get("SETTINGS", "{}"))
    app.conf.update(
        {
            "broker_connection_retry_on_startup": True,
            "worker_prefetch_multiplier": 1,
            **settings,
        }
    )
    Graceful(app)
    return app


def app_ledger() -> Ledger:
    """The test's ledger."""
    return Ledger(os.environ["LEDGER"])


def note(item: Any) -> None:
    """Write ``item`` into the test's ledger."""
    app_ledger().add(item)


def noted(item: Any) -> bool:
    """Whether anybody has written ``item``: how a test tells a task to go on."""
    return item in app_ledger().items()
