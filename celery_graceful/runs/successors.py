"""Publishing the message that a run waits for."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial

from kombu.exceptions import OperationalError

from celery_graceful._celery.message.bodies import check_accepted
from celery_graceful._celery.message.envelope import Envelope, unpack
from celery_graceful._celery.message.publish import Sender, publish
from celery_graceful.errors import PublishUncertain, StoreError, Unroutable
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.reasons import VOLUNTARY
from celery_graceful.model.run.record import Record, RunKey
from celery_graceful.model.run.verdict import raised
from celery_graceful.model.run_options import read_adjustments
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import Runtime
from celery_graceful.stop.hold import queue_of_delivery

logger = logging.getLogger("celery_graceful.runs")

Send = Callable[[Envelope], None]


def publish_record(
    runtime: Runtime, run: RunKey, record: Record, send: Send | None = None, *, who: str
) -> None:
    """Publish the message that ``record`` waits for.

    An uncertain publish is repeated, since a duplicate is harmless.

    Args:
        send: publishes an envelope; by default on a connection of its own.
        who: the worker or operator that publishes.

    Raises:
        kombu.exceptions.OperationalError: the broker refused every connection.
        Unroutable: no queue takes the message; the run shows as unroutable.
        PublishUncertain: the broker never confirmed; the rescue publishes again after a lease.
        CorruptRecord: the saved message cannot be read, or its content type is not accepted.
    """
    seconds = runtime.settings.release_timeout
    send = send or partial(publish, runtime.app, timeout=seconds)
    message = _adjusted(record)
    check_accepted(runtime.app, message)
    envelope = message.continued(record.generation, record.checkpoint)
    try:
        _send_ahead(runtime, run, record, envelope, partial(_repeat_uncertain, send, seconds))
    except Unroutable as exc:
        _mark_unroutable(runtime, run, record, str(exc), who)
        raise


def broker_answers(runtime: Runtime) -> bool:
    """Whether the broker answers within ``store_timeout``."""
    try:
        with Sender(runtime.app, timeout=runtime.settings.store_timeout, bounded=True) as send:
            send.check()
    except OperationalError as exc:
        logger.debug("The broker does not answer either: %s", exc)
        return False
    return True


def publish_without_store(runtime: Runtime, run: RunKey, record: Record, left: int) -> None:
    """Publish the successor of a run whose owner stops while the store is away; once.

    Args:
        record: as the store should have it, but for the generation.
        left: the owner's fence.

    Raises:
        kombu.exceptions.OperationalError: the broker cannot be reached; nothing was sent.
        Unroutable: no queue takes the message; nothing was sent.
        PublishUncertain: nobody knows whether the broker has it.
        CorruptRecord: the saved message cannot be read, or its content type is not accepted.
    """
    message = _adjusted(record)
    check_accepted(runtime.app, message)
    envelope = message.continued(raised(record), record.checkpoint).left_by(left)
    timeout = runtime.settings.release_timeout
    with Sender(runtime.app, timeout=timeout, bounded=True) as send:
        _send_ahead(runtime, run, record, envelope, send)


def _adjusted(record: Record) -> Envelope:
    """The run's message, by the way that an operator has given it.

    It is in the saved message as well, unless another one was admitted since.
    """
    message, adjusted = unpack(record.envelope), read_adjustments(record.adjusted)
    return message.adjusted(adjusted.queue, adjusted.priority)


def _send_ahead(
    runtime: Runtime, run: RunKey, record: Record, envelope: Envelope, send: Send
) -> None:
    queue, priority = runtime.way_of_resumed(run.task)
    if queue is not None and _would_lose_exemption(runtime, envelope, queue):
        queue = None
    # Once: where that queue is consumed by nobody, a broker may not say so.
    ahead = record.reason not in VOLUNTARY and not record.republished
    if not ahead or (queue is None and priority is None):
        send(envelope)
        return
    try:
        send(envelope.by_way_of(queue, priority))
    except Unroutable as exc:
        logger.warning("%s goes to its own queue, without precedence: %s", run, exc)
        send(envelope)


def _would_lose_exemption(runtime: Runtime, envelope: Envelope, queue: str) -> bool:
    """Whether maintenance may hold ``queue`` and never holds the run's own queue."""
    exempt = runtime.settings.maintenance_exempt_queues
    if not exempt or queue in exempt:
        return False
    own = {"exchange": envelope.exchange, "routing_key": envelope.routing_key}
    return queue_of_delivery(runtime.app, own) in exempt


def _repeat_uncertain(send: Send, seconds: float, envelope: Envelope) -> None:
    until, pause = time.monotonic() + seconds, 0.1
    while True:
        try:
            send(envelope)
            return
        except Unroutable:
            raise
        except (OperationalError, PublishUncertain) as exc:
            if time.monotonic() + pause >= until:
                raise
            logger.warning("Publishing again after: %s", exc)
            time.sleep(pause)
            pause *= 2


def _mark_unroutable(runtime: Runtime, run: RunKey, record: Record, why: str, who: str) -> None:
    event = ev.MarkUnroutable(record.generation, why)
    try:
        transition(runtime.store, run, event, runtime.policy, observers=runtime.observers, who=who)
    except StoreError as exc:
        logger.error("%s is unroutable (%s), which could not be stored: %s", run, why, exc)
