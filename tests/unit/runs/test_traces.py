"""The trace of a message: as tracing packages write it, and nothing else."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from celery_graceful._celery.message.headers import trace_of

ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("headers", "trace"),
    [
        ({}, ""),
        ({"traceparent": f"00-{ID}-00f067aa0ba902b7-01"}, ID),
        ({"traceparent": f"01-{ID}-00f067aa0ba902b7-01-more"}, ID),
        ({"sentry-trace": f"{ID}-00f067aa0ba902b7-1"}, ID),
        ({"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"}, ""),
        ({"traceparent": "\x1b[31m"}, ""),
        ({"traceparent": f"00-{ID}-00f067aa0ba902b7-01" + "x" * 10_000}, ""),
        ({"traceparent": 7}, ""),
        ({"sentry-trace": None}, ""),
    ],
)
def test_headers(headers: dict[str, Any], trace: str) -> None:
    assert trace_of(headers) == trace


def test_a_span_that_is_open_here(monkeypatch: pytest.MonkeyPatch) -> None:
    context = SimpleNamespace(is_valid=True, trace_id=int(ID, 16))
    span = SimpleNamespace(get_span_context=lambda: context)
    tracing = SimpleNamespace(get_current_span=lambda: span)
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", tracing)
    assert trace_of({}) == ID
    context.is_valid = False
    assert trace_of({}) == ""
