"""Asking running workers, over the broker."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING

from kombu.exceptions import OperationalError

from celery_graceful._celery.message.mailbox import ask
from celery_graceful.doctor.running import Running, from_answer
from celery_graceful.maintenance.broker_replies import BROKER_TIMEOUT
from celery_graceful.maintenance.scopes import own_queues
from celery_graceful.text.masking import mask_text

if TYPE_CHECKING:
    from celery_graceful.runtime import Runtime


class NobodyAnswers(Exception):
    """Why nothing is known of running workers, in one line."""


def ask_workers(
    runtime: Runtime, queues: Collection[str] = (), *, quiet: float
) -> tuple[Running, ...]:
    """What the running workers of an app say of themselves.

    First all workers of the broker are asked what they consume; then those that may be ours. A
    worker without the plugin would log a question that it does not know.

    Args:
        runtime: of the app.
        queues: what its workers consume beside the queues of the configuration, if known.
        quiet: seconds without an answer after which no more are waited for.

    Raises:
        NobodyAnswers: the broker is away, or no worker of this app answered.
    """
    put = partial(ask, runtime.app, timeout=BROKER_TIMEOUT, quiet=quiet)
    ours = own_queues(runtime).union(queues)
    try:
        consuming = put("active_queues")
        hosts = sorted({host for host, queues in consuming if ours.intersection(_names(queues))})
        answers = put("graceful", destination=hosts) if hosts else []
    except OperationalError as exc:
        raise NobodyAnswers(f"the broker does not answer: {mask_text(str(exc))}") from exc
    heard = [worker for _, answer in answers if (worker := from_answer(answer)) is not None]
    known = tuple(worker for worker in heard if _is_ours(worker, runtime))
    if not known:
        raise NobodyAnswers(f"none answered within {quiet:g} s")
    return known


def _is_ours(worker: Running, runtime: Runtime) -> bool:
    return worker.namespace == runtime.namespace or worker.app == (runtime.app.main or "")


def _names(queues: object) -> Collection[str]:
    listed = queues if isinstance(queues, list) else []
    return {str(each.get("name")) for each in listed if isinstance(each, dict)}
