"""Tasks that note, at the start of each execution, all that Celery tells them about themselves."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from typing import Any

from kombu import Queue

from celery_graceful import IterableTask
from tests.acceptance.apps.making import make_app, note, noted

app = make_app("envelope")
if app.conf.task_queue_max_priority is None and app.conf.task_default_queue_type != "quorum":
    app.conf.task_queues = [
        Queue(name, routing_key=name) for name in ("celery", "special", "routed")
    ]

ITEMS = 10

#: What has to be the same in each execution. ``headers`` holds the whole message's, ours included.
SAME = (
    *("id", "root_id", "parent_id", "group", "group_index", "args", "kwargs", "argsrepr"),
    *("kwargsrepr", "shadow", "timelimit", "reply_to", "correlation_id", "retries", "stamps"),
    *("stamped_headers", "ignore_result", "chain", "chord", "callbacks", "errbacks", "origin"),
    *("replaced_task_nesting", "custom", "compression"),
)


def snapshot(request: Any) -> str:
    """What the request says, as a line for the ledger."""
    info = request.delivery_info or {}
    seen = {name: request.get(name) for name in SAME}
    seen["headers"] = {k: v for k, v in (request.headers or {}).items() if k == "custom"}
    seen["where"] = [info.get("exchange"), info.get("routing_key"), info.get("priority")]
    seen["content"] = request.properties and request.properties.get("content_type")
    return json.dumps(seen, sort_keys=True, default=repr)


def _reached(task: Any, until: Any) -> bool:
    return noted(until) if isinstance(until, str) else task.progress.resumptions >= until


def executions(task: Any, tag: str, until: Any, cursor: int) -> Generator[int, None, Any]:
    """Note the request of an execution, then items until ``until`` is reached."""
    note(f"{tag}@{snapshot(task.request)}")
    begin = cursor
    while cursor < begin + ITEMS or not _reached(task, until):
        cursor += 1
        time.sleep(0.005)
        note(f"{tag}:{cursor}")
        yield cursor


@app.task(base=IterableTask, bind=True, name="envelope.probe", max_execution_time=0.1)
def probe(
    self: Any, /, *args: Any, tag: str, until: Any = 2, cursor: int = 0, **kwargs: Any
) -> Generator[int, None, Any]:
    """Notes its request in each execution; ends after ``until`` interruptions."""
    yield from executions(self, tag, until, cursor)
    return repr((args, kwargs))


@app.task(base=IterableTask, bind=True, name="envelope.routed", max_execution_time=0.1)
def routed(self: Any, *, tag: str, cursor: int = 0) -> Generator[int, None, Any]:
    """The same on the queue that a route gives it."""
    yield from executions(self, tag, 2, cursor)


@app.task(
    base=IterableTask,
    bind=True,
    name="envelope.again",
    autoretry_for=(OSError,),
    default_retry_delay=0,
    retry_backoff=False,
)
def again(self: Any, *, tag: str, cursor: int = 0) -> Generator[int, None, Any]:
    """Notes its request in each execution, and fails once in each until it was retried twice."""
    note(f"{tag}@{snapshot(self.request)}")
    begin = cursor
    while cursor < begin + ITEMS:
        cursor += 1
        note(f"{tag}:{cursor}")
        yield cursor
    if self.progress.resumptions < 2:
        raise OSError("try again")
    return "done"
