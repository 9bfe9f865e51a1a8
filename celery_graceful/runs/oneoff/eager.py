"""Starts in an app whose tasks run at once (``task_always_eager``), as in tests."""

from __future__ import annotations

from celery_graceful._celery.message.headers import STARTED_WITH
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.cursor import decode
from celery_graceful.model.run.record import Outcome, RunKey
from celery_graceful.runs.oneoff.once import note_end
from celery_graceful.runs.oneoff.start_order import Order
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import Runtime

#: What such a run shows as the reason for its end.
REASON = "ran eagerly: task_always_eager"


def run_eagerly(runtime: Runtime, order: Order, run: RunKey) -> None:
    """Run it here, to its end or its limit, and have the store know of that.

    Raises:
        Exception: what the task raises, with ``task_eager_propagates``.
    """
    options, kwargs = order.options, dict(order.kwargs)
    if options.cursor:
        kwargs["cursor"] = decode(options.cursor).cursor
    outcome = Outcome.FAILED
    try:
        result = order.task.apply(
            order.args,
            kwargs,
            task_id=run.id,
            headers={STARTED_WITH: options.text()},
            throw=bool(runtime.app.conf.task_eager_propagates),
        )
        outcome = Outcome.COMPLETED if result.successful() else Outcome.FAILED
    finally:
        done = transition(
            runtime.store,
            run,
            ev.Kill(outcome, REASON),
            runtime.policy,
            observers=runtime.observers,
            who=options.by,
        )
        if done.record is not None:
            note_end(runtime.store, run, done.record, outcome, None)
