"""A project with sentry-sdk and OpenTelemetry; what they would send stands in files."""

# mypy: allow-untyped-decorators
from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from typing import Any

import sentry_sdk
from opentelemetry import trace
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.transport import Transport

from celery_graceful import GracefulTask, stopping
from tests.acceptance.apps import walks
from tests.acceptance.apps.making import make_app, note, noted


def write(which: str, line: dict[str, Any]) -> None:
    """Append a line to one of the test's files."""
    with open(os.environ[which], "a") as file:
        file.write(json.dumps(line) + "\n")


class ToFile(Transport):
    """Keeps what Sentry would get."""

    def capture_envelope(self, envelope: Envelope) -> None:
        for item in envelope.items:
            if item.payload.json is not None:
                write("SENTRY_FILE", {"type": item.type, **item.payload.json})


class SpansToFile(SpanExporter):
    """Keeps what a collector would get."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            write("SPANS_FILE", json.loads(span.to_json(indent=None)))
        return SpanExportResult.SUCCESS


sentry_sdk.init(
    dsn="http://key@localhost/1",
    transport=ToFile,
    traces_sample_rate=1.0,
    integrations=[CeleryIntegration(monitor_beat_tasks=True)],
)
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(SpansToFile()))
trace.set_tracer_provider(provider)
CeleryInstrumentor().instrument()  # type: ignore[no-untyped-call]

app = make_app("watched")


class Walk(walks.Walk):
    name = "watched.walk"


class Retried(walks.RetriedWalk):
    name = "watched.retried"


class Tries(GracefulTask):
    """One that continues by hand when its worker stops."""

    name = "watched.tries"
    acks_late = True

    def run(self, tag: str) -> str:
        note(f"{tag} 1")
        while not noted(f"{tag} enough"):
            if stopping():
                return str(self.continue_as(tag))
            time.sleep(0.02)
        return tag


for task in (Walk(), Retried(), Tries()):
    app.register_task(task)
