"""The doctor as the screen asks it: the app's settings and tasks, and running workers; no files."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from celery_graceful.text.masking import mask_text

if TYPE_CHECKING:
    from celery_graceful.doctor.finding import Finding
    from celery_graceful.runtime import Runtime

#: Seconds without an answer after which no more workers are waited for.
QUIET = 1.0
#: What only the command line can examine, and how.
NOT_CHECKED = (
    ("the files that deploy workers", "graceful doctor -m deploy/"),
    ("what started the workers on their hosts", "graceful doctor --processes"),
    ("how long earlier runs took", "graceful doctor"),
)


@dataclass(frozen=True, slots=True)
class Examined:
    """What the doctor has found."""

    #: When, in Unix seconds by this host's clock.
    at: float
    findings: tuple[Finding, ...]
    #: Workers that have answered it.
    workers: int
    #: Why none has; empty: some have.
    trouble: str = ""


def examine_app(runtime: Runtime) -> Examined:
    """Examine an app; takes a second or two, since its workers are asked.

    Raises:
        StoreUnavailable: the store did not answer.
    """
    from celery_graceful.doctor.examine import examine
    from celery_graceful.doctor.facts.app_configuration import app_facts
    from celery_graceful.doctor.facts.running_workers import (
        NobodyAnswers,
        Seen,
        ask_workers,
        look_around,
    )

    store, trouble, seen = runtime.store, "", Seen()
    if store.shared_between_processes:
        seen = look_around(runtime, store, most_runs=0)
    try:
        running = ask_workers(runtime, seen.queues, quiet=QUIET)
        seen = replace(seen, running=running, workers=max(seen.workers, len(running)))
    except NobodyAnswers as exc:
        trouble = mask_text(str(exc))
    found = examine(app_facts(runtime.app), (), seen, grace=runtime.settings.grace_period)
    return Examined(time.time(), found.findings, len(seen.running), trouble)
