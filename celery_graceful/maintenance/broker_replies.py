"""Asking workers over the broker: who is there, and what they report."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from kombu.exceptions import OperationalError

from celery_graceful._celery.message.mailbox import ask, listen
from celery_graceful.maintenance.scopes import own_queues
from celery_graceful.maintenance.workers import (
    LISTED_FOR,
    KnownWorker,
    Report,
    answer_of,
    decode_report,
    heartbeat,
    patience,
)
from celery_graceful.text.masking import mask_text

if TYPE_CHECKING:
    from celery_graceful.runtime import Runtime

Answers = Sequence[tuple[str, Any]]

#: Seconds after which a broker counts as unavailable.
BROKER_TIMEOUT = 3.0
#: Seconds without an answer after which no more are expected.
QUIET = 1.0
#: The same where silence counts as proof: a busy machine may delay an answer that long.
LONG_QUIET = 3.0
#: Seconds in which a worker sends a heartbeat; Celery sends one every two.
HEARTBEATS = 5.0


@dataclass(frozen=True, slots=True)
class BrokerReplies:
    """What workers answered over the broker, those of other apps included."""

    #: Those that answered at all, with the queues they consume.
    consuming: Mapping[str, frozenset[str]] = field(default_factory=dict)
    #: What workers of this namespace answered when they were asked for their report.
    reports: tuple[Report, ...] = ()
    #: Workers that answered for another namespace, and for which.
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    #: Workers on which the plugin could not start, and why.
    failures: Mapping[str, str] = field(default_factory=dict)
    #: Workers that had no report to give: they do not have the plugin.
    without: frozenset[str] = frozenset()
    #: Workers that sent heartbeats; ``None``: not listened for.
    beating: frozenset[str] | None = None
    #: Why workers could not be asked; empty when they could.
    trouble: str = ""


#: No worker was asked.
NOBODY = BrokerReplies(trouble="not asked")


def ask_workers(
    runtime: Runtime,
    known: Collection[KnownWorker],
    before: BrokerReplies = NOBODY,
    *,
    quiet: float = QUIET,
) -> BrokerReplies:
    """Ask all workers of the broker what they consume, and some for their report.

    Those are asked for their report that consume queues of this app, and of which the store has no
    fresh report. Two workers of one name may share the queue of their commands: where another one
    answers for a silent worker, both are asked again, and the broker takes turns.

    Args:
        known: the workers that the store knows of.
        before: earlier replies. A worker that had no report to give is not asked for it again,
            since it logs each question that it does not know.
        quiet: seconds without an answer after which no more are waited for.
    """
    put = partial(ask, runtime.app, timeout=BROKER_TIMEOUT, quiet=quiet)
    longest = LISTED_FOR * patience(runtime.settings)
    recent = [worker for worker in known if worker.age <= longest]
    try:
        consuming = _consuming(put("active_queues"))
        doubtful = sorted(_doubtful(runtime, known, consuming) - before.without)
        answers = put("graceful", destination=doubtful) if doubtful else []
        if again := _answered_by_others(runtime, recent, answers):
            answers += put("graceful", destination=again)
    except OperationalError as exc:
        return BrokerReplies(trouble=mask_text(str(exc)))
    without = before.without.union(doubtful) - {worker.hostname for worker in recent}
    return _sorted(runtime.namespace, BrokerReplies(consuming, without=without), answers)


def with_heartbeats(runtime: Runtime, replies: BrokerReplies, seconds: float) -> BrokerReplies:
    """The same with the workers that send heartbeats: one may be there and not answer."""
    try:
        beating = listen(runtime.app, "worker-heartbeat", timeout=BROKER_TIMEOUT, seconds=seconds)
    except OperationalError as exc:
        return replace(replies, trouble=mask_text(str(exc)))
    return replace(replies, beating=beating)


def queue_names(answer: Any) -> list[str]:
    """The names in an answer to ``active_queues``; none when a worker answers with an error."""
    if not isinstance(answer, list):
        return []
    return [str(queue["name"]) for queue in answer if isinstance(queue, dict) and "name" in queue]


def _consuming(answers: Answers) -> dict[str, frozenset[str]]:
    """The queues by node name; several nodes may have one name."""
    found: dict[str, frozenset[str]] = {}
    for host, answer in answers:
        found[host] = found.get(host, frozenset()).union(queue_names(answer))
    return found


def _doubtful(
    runtime: Runtime, known: Collection[KnownWorker], consuming: Mapping[str, frozenset[str]]
) -> set[str]:
    ours = own_queues(runtime).union(*(w.report.queues for w in known if w.report))
    fresh = {w.hostname for w in known if w.age <= patience(runtime.settings)}
    silent = {w.hostname for w in known if w.age > heartbeat(runtime.settings)}
    return {
        host
        for host, queues in consuming.items()
        if host in silent or (host not in fresh and queues & ours)
    }


def _answered_by_others(
    runtime: Runtime, known: Collection[KnownWorker], answers: Answers
) -> list[str]:
    """The names of silent workers in whose place another one answered."""
    reports = _sorted(runtime.namespace, BrokerReplies(), answers).reports
    silent = [w for w in known if w.age > heartbeat(runtime.settings)]
    names = {w.hostname for w in silent if answer_of(w, reports) is None}
    return sorted(names & {host for host, _ in answers})


def _sorted(namespace: str, replies: BrokerReplies, answers: Answers) -> BrokerReplies:
    reports: dict[tuple[str, str], Report] = {}
    elsewhere, failures = {}, {}
    for host, answer in answers:
        if not isinstance(answer, dict) or "namespace" not in answer:
            continue
        if answer["namespace"] != namespace:
            elsewhere[host] = str(answer["namespace"])
            continue
        if "report" not in answer and answer.get("failure"):
            failures[host] = str(answer["failure"])
        report = _report_in(answer.get("report"))
        if report is not None:
            reports[report.hostname, report.start] = report
    return replace(
        replies,
        reports=tuple(reports.values()),
        elsewhere=elsewhere,
        failures=failures,
        without=replies.without - {host for host, answer in answers if isinstance(answer, dict)},
    )


def _report_in(value: Any) -> Report | None:
    try:
        return decode_report(value if isinstance(value, str) else json.dumps(value))
    except (ValueError, TypeError, RecursionError):  # nothing that JSON could have brought
        return None
