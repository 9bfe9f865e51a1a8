"""A project whose packages store states: celery-progress, and receivers of a task's signals.

Notes each state that reaches the result backend as ``stored <id> <state>``, and what
celery-progress sends to its websockets as ``pushed <id> <complete> <success>``.
"""

# mypy: allow-untyped-decorators
from __future__ import annotations

import os
import time
from typing import Any

from celery import signals
from celery.backends.base import Backend
from celery.backends.rpc import RPCBackend

from celery_graceful import GracefulTask, stopping
from tests.acceptance.apps import walks
from tests.acceptance.apps.making import make_app, note, noted

if os.environ.get("RESULT_URL") == "django-db":
    import django
    from django.conf import settings

    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": os.environ["DATABASE"],
                "OPTIONS": {"timeout": 60},
            }
        },
        INSTALLED_APPS=["django_celery_results"],
        USE_TZ=True,
    )
    django.setup()

    from django.core.management import call_command
    from django.db import connections

    call_command("migrate", verbosity=0)
    connections.close_all()

import celery_progress.tasks
from celery_progress.backend import ProgressRecorder

app = make_app("receivers")


def noting(kind: Any) -> None:
    """Note each state that a kind of backend stores."""
    stored = kind.store_result

    def store_result(self: Any, task_id: str, result: Any, state: str, **options: Any) -> Any:
        returned = stored(self, task_id, result, state, **options)
        note(f"stored {task_id} {state}")
        return returned

    kind.store_result = store_result


noting(Backend)
noting(RPCBackend)


def store(name: str, task_id: str, state: str | None = None, result: Any = None) -> None:
    """What a careless receiver does."""
    note(f"heard {name} {task_id} {state}")
    app.backend.store_result(task_id, result, state or name.upper())


if os.environ["RECEIVERS"] == "celery-progress":
    import celery_progress.websockets.tasks  # noqa: F401
    from celery_progress.websockets.backend import WebSocketProgressRecorder

    def push_update(task_id: str, data: dict[str, Any], final: bool = False) -> None:
        """In place of the channel layer."""
        note(f"pushed {task_id} {data['complete']} {data['success']}")

    WebSocketProgressRecorder.push_update = staticmethod(push_update)
else:
    # What each of them does is harmless with Celery alone: outcomes are stored after it, or it
    # stores the outcome once more.
    signals.task_received.connect(lambda request, **_: store("received", request.id), weak=False)
    signals.task_prerun.connect(lambda task_id, **_: store("prerun", task_id), weak=False)
    signals.task_retry.connect(lambda request, **_: store("retried", request.id), weak=False)
    signals.before_task_publish.connect(
        lambda headers, **_: store("before_publish", headers["id"]), weak=False
    )

    @signals.task_postrun.connect(weak=False)
    def store_told(task_id: str, state: str, retval: Any, **_: Any) -> None:
        """Store what it is told, as packages with a table of their own do."""
        note(f"told {task_id} {state}")
        app.backend.store_result(task_id, retval, state)

    @signals.task_postrun.connect(weak=False)
    def store_failure(task_id: str, state: str, **_: Any) -> None:
        """Take whatever Celery does not call a success for a failure."""
        if state in ("IGNORED", "REJECTED"):
            app.backend.mark_as_failure(task_id, RuntimeError(state))


class Walk(walks.Walk):
    name = "receivers.walk"


class Counted(Walk):
    """One that reports how far it is."""

    name = "receivers.counted"

    def count(self, tag: str) -> int:
        return 10**6


class Own(Walk):
    """One with a state of its own, by celery-progress."""

    name = "receivers.own"

    def each_iteration(self, item: int, tag: str) -> None:
        ProgressRecorder(self).set_progress(item, 10**6, description="own")
        super().each_iteration(item, tag)


class Retried(walks.RetriedWalk):
    name = "receivers.retried"


class Tries(GracefulTask):
    """One that continues by hand."""

    name = "receivers.tries"

    def run(self, tag: str, turn: int = 0) -> str:
        note(f"{tag} {turn}")
        if turn < 3:
            return str(self.continue_as(tag, turn + 1))
        while not (noted(f"{tag} enough") or stopping()):
            time.sleep(0.02)
        return tag


for task in (Walk(), Counted(), Own(), Retried(), Tries()):
    app.register_task(task)
