"""The trace that a message belongs to, as tracing packages have written it into its headers."""

from __future__ import annotations

import re
import sys
from typing import Any

#: Of W3C (OpenTelemetry, and most others) and of Sentry. Both hold the id as 32 digits.
#: https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile("[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.{0,100}")
_SENTRY = re.compile("([0-9a-f]{32})-[0-9a-f]{16}.{0,100}")
_NONE = "0" * 32


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
