"""A project with much around it: Flask's base class, sentry-sdk, and the demo's task."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import flask
import sentry_sdk
from celery import Celery, Task
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.transport import Transport

from celery_graceful import Graceful, IterableTask, sources
from celery_graceful.demo import work
from tests.harness.ledger import Ledger

#: What is sent to Sentry, an item a line.
SENTRY = os.environ.get("SENTRY_FILE", os.devnull)

site = flask.Flask("whole")


class FlaskTask(Task):  # type: ignore[type-arg]  # no generic class when it runs
    """As Flask's documentation writes it."""

    def __call__(self, *args: object, **kwargs: object) -> object:
        with site.app_context():
            return self.run(*args, **kwargs)


class ToFile(Transport):
    """Keeps what Sentry would get."""

    def capture_envelope(self, envelope: Envelope) -> None:
        with open(SENTRY, "a") as file:
            for item in envelope.items:
                if item.payload.json is not None:
                    file.write(json.dumps({"type": item.type, **item.payload.json}) + "\n")


sentry_sdk.init(
    dsn="http://key@localhost/1",
    transport=ToFile,
    traces_sample_rate=1.0,
    integrations=[CeleryIntegration(monitor_beat_tasks=True)],
)

app = Celery("whole", task_cls=FlaskTask)
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    task_track_started=True,
    **json.loads(os.environ.get("SETTINGS", "{}")),
)
Graceful(app)


@app.task(name="whole.survey_files", base=IterableTask, bind=True)
def survey_files(
    self: Any, root: str, notes: str, pause: float, *, cursor: str | None = None
) -> Generator[str, None, None]:
    """The demo's task, which notes each file, and its sums at the end, from within Flask's app."""
    for path, name in sources.files(root, "*.py", cursor=cursor):
        if not Path(f"{notes}.hurry").exists():
            time.sleep(pause)
        self.carry.update(work.add(self.carry, path.read_bytes()))
        Ledger(notes).add(f"{flask.current_app.name}:{name}")
        yield name
    Ledger(notes).add(json.dumps(dict(self.carry)))


@app.task(name="whole.plain")
def plain() -> None:
    """A task that has nothing to do with the plugin."""
    Ledger(os.environ["LEDGER"]).add(flask.current_app.name)
