"""Asking workers over the broker: who is there, and what they say of themselves."""

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

#: Seconds after which a broker counts as away.
BROKER_TIMEOUT = 3.0
#: Seconds without an answer after which nobody else is expected to give one.
QUIET = 1.0
#: The same where it counts that somebody is silent: a busy machine may keep an answer that long.
LONG_QUIET = 3.0
#: Seconds in which a worker sends a heartbeat; Celery sends one every two.
HEARTBEATS = 5.0


@dataclass(frozen=True, slots=True)
class BrokerReplies:
    """What workers answered over the broker, those of other apps included."""

    #: Who answered at all, with the queues it consumes.
    consuming: Mapping[str, frozenset[str]] = field(default_factory=dict)
    #: What workers of this namespace answered when they were asked for their report.
    reports: tuple[Report, ...] = ()
    #: Workers that answered for another namespace, and for which.
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    #: Workers on which the plugin could not start, and why.
    failures: Mapping[str, str] = field(default_factory=dict)
    #: Workers that had no report to give: they do not have the plugin.
    without: frozenset[str] = frozenset()
    #: Workers that sent heartbeats; ``None``: nobody listened.
    beating: frozenset[str] | None = None
    #: Why nobody could be asked; empty when they could.
    trouble: str = ""


#: Nobody was asked.
NOBODY = BrokerReplies(trouble="nobody was asked")


def ask_workers(
    runtime: Runtime,
    members: Collection[KnownWorker],
    before: BrokerReplies = NOBODY,
    *,
    quiet: float = QUIET,
) -> BrokerReplies:
    """Ask all workers of the broker what they consume, and some for their report.

    For their report those are asked that consume queues of this app, and that the store knows
    nothing of, or nothing new. Two workers of one name may share the queue of their commands: where
    another one answers for a silent worker, both are asked again, and the broker takes turns.

    Args:
        members: what the store knows of the workers.
        before: what was heard before. Who had no report to give is not asked for it again, since
            it logs each question that it does not know.
        quiet: seconds without an answer after which no more are waited for.
    """
    put = partial(ask, runtime.app, timeout=BROKER_TIMEOUT, quiet=quiet)
    try:
        consuming = _consuming(put("active_queues"))
        doubtful = sorted(_doubtful(runtime, members, consuming) - before.without)
        answers = put("graceful", destination=doubtful) if doubtful else []
        lately = _listed(runtime, members)
        if again := _answered_by_others(lately, runtime, answers):
            answers += put("graceful", destination=again)
    except OperationalError as exc:
        return BrokerReplies(trouble=mask_text(str(exc)))
    without = before.without.union(doubtful) - {m.hostname for m in lately}
    return _sorted(runtime.namespace, BrokerReplies(consuming, without=without), answers)


def with_heartbeats(runtime: Runtime, heard: BrokerReplies, seconds: float) -> BrokerReplies:
    """The same with the workers that send heartbeats: one may not answer, and be there."""
    try:
        beating = listen(runtime.app, "worker-heartbeat", timeout=BROKER_TIMEOUT, seconds=seconds)
    except OperationalError as exc:
        return replace(heard, trouble=mask_text(str(exc)))
    return replace(heard, beating=beating)


def _consuming(answers: Sequence[tuple[str, Any]]) -> dict[str, frozenset[str]]:
    """The queues by node name; several nodes may have one name."""
    found: dict[str, frozenset[str]] = {}
    for host, answer in answers:
        found[host] = found.get(host, frozenset()).union(queue_names(answer))
    return found


def _listed(runtime: Runtime, members: Collection[KnownWorker]) -> list[KnownWorker]:
    """Without those that are silent for so long that they are surely gone."""
    longest = LISTED_FOR * patience(runtime.settings)
    return [member for member in members if member.age <= longest]


def _answered_by_others(
    members: Collection[KnownWorker], runtime: Runtime, answers: Sequence[tuple[str, Any]]
) -> list[str]:
    """The names of silent workers that somebody answered to, and they did not."""
    reports = _sorted(runtime.namespace, BrokerReplies(), answers).reports
    silent = [m for m in members if m.age > heartbeat(runtime.settings)]
    names = {m.hostname for m in silent if answer_of(m, reports) is None}
    return sorted(names & {host for host, _ in answers})


def _doubtful(
    runtime: Runtime, members: Collection[KnownWorker], consuming: Mapping[str, frozenset[str]]
) -> set[str]:
    ours = own_queues(runtime).union(*(m.report.queues for m in members if m.report))
    fresh = {m.hostname for m in members if m.age <= patience(runtime.settings)}
    silent = {m.hostname for m in members if m.age > heartbeat(runtime.settings)}
    return {
        host
        for host, queues in consuming.items()
        if host in silent or (host not in fresh and queues & ours)
    }


def _sorted(
    namespace: str, heard: BrokerReplies, answers: Sequence[tuple[str, Any]]
) -> BrokerReplies:
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
        report = _reported(answer.get("report"))
        if report is not None:
            reports[report.hostname, report.start] = report
    without = heard.without - {host for host, answer in answers if isinstance(answer, dict)}
    return replace(
        heard,
        reports=tuple(reports.values()),
        elsewhere=elsewhere,
        failures=failures,
        without=without,
    )


def _reported(said: Any) -> Report | None:
    try:
        return decode_report(said if isinstance(said, str) else json.dumps(said))
    except (ValueError, TypeError, RecursionError):  # nothing that JSON could have brought
        return None


def queue_names(answer: Any) -> list[str]:
    """The names in the answer to ``active_queues``; anybody can answer, with anything."""
    if not isinstance(answer, list):
        return []  # an error of that worker; it is there all the same
    return [str(queue["name"]) for queue in answer if isinstance(queue, dict) and "name" in queue]
