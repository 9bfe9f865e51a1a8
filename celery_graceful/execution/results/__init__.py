"""What a run leaves in the result backend, and how its result is kept until it is stored there."""

from __future__ import annotations

import base64
import json
import logging
import os
from typing import TYPE_CHECKING, Any

from celery import signals as celery_signals
from celery import states
from celery.backends.base import DisabledBackend
from celery.exceptions import SoftTimeLimitExceeded
from celery.utils.saferepr import saferepr
from kombu import serialization

from celery_graceful._celery.message import payloads
from celery_graceful._celery.task import backends
from celery_graceful.errors import CorruptRecord

if TYPE_CHECKING:
    from celery_graceful.execution.run_task import RunTask

logger = logging.getLogger("celery_graceful.runs")


def dump(task: RunTask, result: Any) -> str:
    """Write a result as text, with the serializer the result backend uses."""
    return _dump(task, "result", task.backend.prepare_value(result))


def kept(task: RunTask, request: Any, result: Any) -> str | None:
    """What the store keeps of a result until Celery has stored it, or dropped it.

    The store asks no more of a result than Celery does.

    Returns:
        The result as text; ``None`` in its place where nobody asks for it. ``None`` when it cannot
        be written: Celery fails then too, or has its own way to write it.
    """
    if not _is_wanted(task, request):
        return dump(task, None)
    try:
        return dump(task, result)
    except SoftTimeLimitExceeded:
        raise
    except Exception as exc:
        logger.warning(
            "%s[%s]: the result cannot be kept until Celery has stored it, so it is made again if "
            "this worker dies before that: %s",
            task.name,
            request.id,
            saferepr(exc),
        )
        return None


def _is_wanted(task: RunTask, request: Any) -> bool:
    """Whether Celery does anything with the result: stores it, or passes it on."""
    if request.callbacks or request.chain or request.chord:
        return True
    return not (_ignored(task, request) or isinstance(task.backend, DisabledBackend))


def dump_error(task: RunTask, exc: Exception) -> str:
    """Write a final error as text, as far as it can be written."""
    try:
        return _dump(task, "error", task.backend.prepare_exception(exc, serializer="json"), "json")
    except SoftTimeLimitExceeded:
        raise
    except Exception:  # what is in it, or how it shows itself
        shown = {
            "exc_type": type(exc).__qualname__,
            "exc_message": [saferepr(exc)],
            "exc_module": type(exc).__module__,
        }
        return _dump(task, "error", shown, "json")


def _dump(task: RunTask, kind: str, value: Any, serializer: str | None = None) -> str:
    content_type, encoding, payload = serialization.dumps(
        value, serializer or task.app.conf.result_serializer
    )
    data = payload if isinstance(payload, bytes) else payload.encode()
    return json.dumps([kind, content_type, encoding, base64.b64encode(data).decode()])


def load(task: RunTask, saved: str) -> Any:
    """Read back what was saved: returns the result, or raises the error.

    Raises:
        CorruptRecord: the text cannot be read, or is of a content type that is not accepted.
    """
    try:
        kind, content_type, encoding, data = json.loads(saved)
        value = _read(task, kind, content_type, encoding, base64.b64decode(data, validate=True))
    except Exception as exc:
        raise CorruptRecord(
            f"the saved result of a run of {task.name} cannot be read: {exc!r:.400}"
        ) from exc
    if kind == "error":
        raise value
    return value


def _read(task: RunTask, kind: str, content_type: str, encoding: str, data: bytes) -> Any:
    if kind == "error" and content_type == payloads.JSON:
        return payloads.error_of(task.backend, payloads.read_payload(data, content_type, encoding))
    if kind == "result" and payloads.accepts_result(task.app.conf, content_type):
        return payloads.read_payload(data, content_type, encoding)
    raise CorruptRecord(
        f"it is {kind!r:.40} of content type {content_type!r:.80}, which result_serializer, "
        "result_accept_content and accept_content do not allow"
    )


def store_started(task: RunTask, request: Any, *, resumed: bool) -> None:
    """Write STARTED, as Celery does under ``task_track_started``, but after admission.

    Not over a state that somebody else has set, such as ABORTED, nor over the outcome of the run;
    that of an earlier run with this id does not matter.
    """
    if _ignored(task, request):
        return
    state, _ = backends.state_of(task.backend, request.id)
    over = not resumed and state in states.READY_STATES
    if over or backends.may_be_replaced(state):
        meta = {"pid": os.getpid(), "hostname": request.hostname}
        task.backend.store_result(request.id, meta, states.STARTED, request=request)


def store_revoked(task: RunTask, request: Any) -> None:
    """Write REVOKED and call callbacks and receivers, as Celery's main process would."""
    task.backend.mark_as_revoked(
        request.id, "revoked", request=request, store_result=not _ignored(task, request)
    )
    celery_signals.task_revoked.send(
        sender=task, request=request, terminated=False, signum=None, expired=False
    )


def _ignored(task: RunTask, request: Any) -> bool:
    own = request.__dict__.get("ignore_result")
    return bool(task.ignore_result if own is None else own)
