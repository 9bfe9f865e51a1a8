"""Which start of a worker is there: a killed one leaves its report, and its name is used again."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from celery_graceful.maintenance.known_workers import Member
from celery_graceful.maintenance.worker_report import Report


def answer_of(member: Member, reports: Iterable[Report]) -> Report | None:
    """What this very start of a worker answered over the broker.

    A report that does not name its start counts for its node name.
    """
    host, start = member.hostname, member.worker
    return next((r for r in reports if r.hostname == host and r.start in ("", start)), None)


def is_replaced(
    member: Member, members: Iterable[Member], reports: Iterable[Report], *, heartbeat: float
) -> bool:
    """Whether another start of the same name began after this one's last report.

    Two workers that share a name both go on reporting, so neither began after the last report of
    the other for longer than a heartbeat.

    Args:
        members: what the store knows.
        reports: what was answered over the broker.
        heartbeat: seconds within which a worker that runs reports again.
    """
    if member.age <= heartbeat:
        return False
    known = [(m.report, m.age) for m in members if m.report is not None]
    return any(
        report.start not in ("", member.worker)
        and report.hostname == member.hostname
        and age + report.up_for < member.age
        for report, age in (*known, *((report, 0.0) for report in reports))
    )


def is_of_another(member: Member, consumed: Collection[str], elsewhere: bool) -> bool:
    """Whether the worker that answers to a silent worker's name is surely another one.

    Args:
        consumed: the queues that it consumes.
        elsewhere: whether it named another namespace.
    """
    if elsewhere or member.report is None:
        return elsewhere
    return bool(consumed) and not set(consumed) & set(member.report.queues)


def unknown(reports: Iterable[Report], members: Collection[Member]) -> list[Report]:
    """The answers of workers that the store has no report of."""
    starts = {member.worker for member in members}
    hosts = {member.hostname for member in members}
    return [r for r in reports if (r.start not in starts if r.start else r.hostname not in hosts)]
