"""Messages of runs whose task this worker does not know.

Celery would store FAILURE for them, over a run that another worker carries on. Tried on 5.5 to 5.7.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from celery_graceful._celery.message.protocol_1 import task_and_id
from celery_graceful._celery.message.wire import GENERATION, generation_of

logger = logging.getLogger("celery_graceful.worker")


def leave_unknown_runs(worker: Any, is_run: Callable[[str, str, int, bool], bool]) -> None:
    """Ask before the worker's consumer fails a message whose task it does not know.

    Args:
        worker: a worker that has not started to consume.
        is_run: told task, id, generation and whether it was redelivered; returns whether the
            message belongs to a run, which is then left to other workers.
    """
    consumer = worker.consumer
    theirs = consumer.on_unknown_task

    def on_unknown_task(body: Any, message: Any, exc: Exception) -> None:
        task, task_id = task_and_id(worker.app, message)
        redelivered = bool((message.delivery_info or {}).get("redelivered"))
        may_be = bool(task_id) and (redelivered or GENERATION in message.headers)
        if may_be and is_run(task, task_id, generation_of(message.headers), redelivered):
            message.ack_log_error(logger, consumer.connection_errors)
        else:
            theirs(body, message, exc)

    consumer.on_unknown_task = on_unknown_task
