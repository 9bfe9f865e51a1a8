"""The inside of a worker's pool child, in this process: a run that is admitted, saved and ended."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery

from celery_graceful._celery.message.headers import RAW
from celery_graceful.execution.owned import owned_run
from celery_graceful.model.run.record import Outcome
from celery_graceful.runtime import runtime_of
from celery_graceful.stop import flag
from tests.servers import Valkey


@contextmanager
def inside_a_worker() -> Iterator[Celery]:
    """An app whose tasks find all they find in a worker: a store on a server, and a stop flag."""
    with Valkey() as server:
        app = Celery("benchmarks", broker=server.url, backend=server.url, set_as_current=False)
        flag.owned("benchmarks")
        try:
            yield app
        finally:
            flag.withdraw()
            runtime_of(app).store.close()
            app.close()


def carry(task: Any, args: tuple[Any, ...], kwargs: dict[str, Any], items: int) -> None:
    """Run an iterable task as a fresh delivery.

    Args:
        task: the registered task.
        args: its positional arguments.
        kwargs: its keyword arguments.
        items: how many items it has to process.

    Raises:
        AssertionError: it was not carried as in a worker, or not to its end.
    """
    task.push_request(**_request(task, args, kwargs))
    try:
        task.run(*args, **kwargs)
        run = owned_run(task.request)
        assert run is not None
        assert run.execution.steps == items, f"{run.execution.steps} of {items} items"
        run.ticket.end(Outcome.COMPLETED, items=False)  # what Celery's postrun signal does
    finally:
        task.pop_request()


def _request(task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    run = uuid.uuid4().hex
    body = json.dumps([args, kwargs, {"callbacks": None, "errbacks": None, "chain": None}])
    headers = {"id": run, "task": task.name, "lang": "py"}
    return {
        "id": run,
        "called_directly": False,
        "is_eager": False,
        "args": args,
        "kwargs": kwargs,
        "timelimit": [None, None],
        "hostname": "benchmarks@localhost",
        "delivery_info": {"exchange": "", "routing_key": "celery", "redelivered": False},
        "properties": {
            "correlation_id": run,
            RAW: (body.encode(), "application/json", "utf-8", headers),
        },
    }
