"""The plugin in Flask: ``celery -A flask_app worker`` and ``flask --app flask_app run``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from celery import Celery, Task
from flask import Flask, current_app, request

from celery_graceful import Graceful, iterable_task, sources

REDIS_URL = os.environ.get("REDIS_URL", "redis://localhost:6379/1")

web = Flask(__name__)


class FlaskTask(Task):
    """Runs within the application context, as Flask's documentation shows it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with web.app_context():
            return self.run(*args, **kwargs)


app = Celery("flask_app", task_cls=FlaskTask, broker=REDIS_URL, backend=REDIS_URL)
Graceful(app)


@iterable_task(bind=True)
def count_airports(self: Any, path: str, country: str, *, cursor: Any = None) -> Iterator[Any]:
    """Count the airports of a country; stop the worker, and it continues where it was."""
    for row, place in sources.csv_rows(path, cursor=cursor):
        if row["country"] == country:
            self.carry["airports"] = self.carry.get("airports", 0) + 1
        yield place
    current_app.logger.info("%s: %d airports", country, self.carry.get("airports", 0))
    return self.carry.get("airports", 0)


@web.post("/counts/<country>")
def start(country: str) -> dict[str, str]:
    """Send the task; its id leads to the result."""
    return {"id": count_airports.delay(request.form["path"], country).id}


@web.get("/counts/<country>/<task_id>")
def show(country: str, task_id: str) -> dict[str, Any]:
    """How far it is."""
    result = app.AsyncResult(task_id)
    return {"state": result.state, "airports": result.result if result.successful() else None}
