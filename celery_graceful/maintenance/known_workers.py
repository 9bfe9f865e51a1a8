"""The workers that the store knows of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from celery_graceful.maintenance.worker_report import Report, decode_report

if TYPE_CHECKING:
    from celery_graceful.settings import Settings
    from celery_graceful.stores.board import Board

#: For how many leases after its last report a worker that does not answer is listed.
LISTED_FOR = 3
#: After so many times between two reports without one, a worker has missed some.
HEARTBEATS = 2.5
#: A worker reports at least so often before others would count it as gone.
REPORTS_PER_LEASE = 3


@dataclass(frozen=True, slots=True)
class Member:
    """A worker's latest report, by the store."""

    #: Names one start of the worker.
    worker: str
    #: ``None``: it cannot be read.
    report: Report | None
    #: Seconds since it was written.
    age: float

    @property
    def hostname(self) -> str:
        """Celery's node name; a guess when the report cannot be read."""
        return self.report.hostname if self.report else self.worker.rpartition("/")[0]


def members(board: Board) -> list[Member]:
    """All workers whose reports are kept, those that were lost lately included."""
    return [Member(who, decode_report(text), age) for who, text, age in board.attendance()]


def report_every(settings: Settings) -> float:
    """Seconds between two reports of a worker."""
    return min(settings.maintenance_poll, settings.lease_ttl / REPORTS_PER_LEASE)


def heartbeat(settings: Settings) -> float:
    """Seconds within which a worker that runs, and reaches the store, reports again."""
    return HEARTBEATS * report_every(settings)


def patience(settings: Settings) -> float:
    """Seconds after which a report is too old to count: a lease, and never a mere poll or two."""
    return max(settings.lease_ttl, 2.5 * settings.maintenance_poll)
