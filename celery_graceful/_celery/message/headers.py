"""The headers that the plugin gives to messages: their names, what is in them, and reading them.

Whatever a stranger wrote into one must not stop the worker.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Mapping
from typing import Any

from kombu.utils.encoding import safe_repr

logger = logging.getLogger("celery_graceful.runs")

#: Header names. The third holds exchange, routing key and priority of a message that travels by
#: another way than its own, ahead of a backlog.
GENERATION, CHECKPOINT, HOME = "graceful_generation", "graceful_checkpoint", "graceful_home"
#: Header: the size of a checkpoint that was too large to travel with its message, in bytes.
LEFT_OUT = "graceful_left_out"
#: Header: the fence of the execution that sent the message while the store was away. It ended
#: without telling the store, and the message's checkpoint is its last.
LEFT = "graceful_left"
#: Header: the message was parked while its run could not start; there may be another copy of it.
WAITED = "graceful_waited"
#: Header: what the run was asked when it was started, as text.
STARTED_WITH = "graceful_started_with"
#: Header: a list of words to find the run by, for ``apply_async(headers={"graceful_tags": …})``.
TAGS = "graceful_tags"
#: Where ``RunRequest`` puts the raw body for the pool child.
RAW = "graceful_raw"
#: Where it puts the moment at which the worker received the message, by :func:`uptime`.
RECEIVED = "graceful_received"
#: Where it puts the queue that the message came from, if the broker says it.
QUEUE = "graceful_queue"

#: Where it puts the name of the worker: Celery gives a task the last one's of its process.
NODE = "graceful_node"

#: What brokers add to the headers of a delivery.
OF_DELIVERY = (
    "redelivered",
    "x-death",
    "x-delivery-count",
    "x-first-death-exchange",
    "x-first-death-queue",
    "x-first-death-reason",
)
#: A checkpoint travels with its message up to this size, in bytes; the store has it anyway.
HEADER_LIMIT = 32 * 1024
#: As in the model, which this room does not know.
MOST_GENERATIONS = 2**31 - 1
#: Priorities that a broker knows.
_PRIORITIES = 255
#: Bytes of a name in AMQP.
_NAME_LIMIT = 255
#: Of W3C (OpenTelemetry, and most others) and of Sentry. Both hold the id as 32 digits.
#: https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile("[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.{0,100}")
_SENTRY = re.compile("([0-9a-f]{32})-[0-9a-f]{16}.{0,100}")
_NONE = "0" * 32


def travelling(checkpoint: str | None) -> dict[str, Any]:
    """The headers that carry a checkpoint, or that say that it was too large for that."""
    if checkpoint is None:
        return {}
    if len(checkpoint) > HEADER_LIMIT:
        return {LEFT_OUT: len(checkpoint)}
    return {CHECKPOINT: checkpoint}


def sent_home(headers: Mapping[str, Any]) -> dict[str, Any]:
    """The ``delivery_info`` of a message's own way, if it came by another; else nothing."""
    home = headers.get(HOME)
    if not isinstance(home, (list, tuple)) or len(home) != 3:
        return {}
    exchange, routing_key, priority = home
    if not all(map(is_name_or_none, (exchange, routing_key))) or not is_priority(priority):
        return {}
    return dict(zip(("exchange", "routing_key", "priority"), home, strict=True))


def is_name(value: object) -> bool:
    """Whether a value can be the name of an exchange or queue: AMQP takes 255 bytes."""
    return isinstance(value, str) and len(value.encode("utf-8", "surrogatepass")) <= _NAME_LIMIT


def is_name_or_none(value: object) -> bool:
    return value is None or is_name(value)


def is_priority(value: object) -> bool:
    return value is None or (type(value) is int and 0 <= value <= _PRIORITIES)


def node_of(request: Any) -> str | None:
    """The name of the worker that has received a run's message, as its task's request says."""
    node = (request.properties or {}).get(NODE)
    return node if isinstance(node, str) else None


def uptime() -> float:
    """Seconds on a clock that all processes of this host share, and that nobody sets.

    It goes on while the host sleeps, where the system has such a clock.
    """
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def generation_of(headers: Any) -> int:
    """The generation in a message's headers (anything with ``get``).

    0, as for a first message, when there is none or no such number: whatever a stranger wrote
    must not stop the worker, and an invitation too old is dropped.
    """
    value = headers.get(GENERATION)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10:
        value = int(value)
    if type(value) is int and 0 <= value <= MOST_GENERATIONS:
        return value
    if value is not None:
        logger.warning(
            "%.200r[%.200r] came with %s = %s, which is no generation: taken for 0",
            headers.get("task"),
            headers.get("id"),
            GENERATION,
            safe_repr(value)[:100],
        )
    return 0


def trace_of(request: Any) -> str:
    """The id of the trace that a delivery belongs to; empty where none is known.

    Nothing is imported for it: who does not trace pays two look-ups.

    Args:
        request: the task's request, which has the message's headers.
    """
    given = request.get("traceparent")
    if given is not None:
        return _found(_TRACEPARENT, given)
    given = request.get("sentry-trace")
    if given is not None:
        return _found(_SENTRY, given)
    tracing = sys.modules.get("opentelemetry.trace")
    return "" if tracing is None else _current(tracing)


def _current(tracing: Any) -> str:
    """The trace of the span that is open here: the sender has not written any."""
    context = tracing.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else ""


def _found(pattern: re.Pattern[str], given: Any) -> str:
    match = pattern.fullmatch(given) if isinstance(given, str) else None
    return "" if match is None or match[1] == _NONE else match[1]
