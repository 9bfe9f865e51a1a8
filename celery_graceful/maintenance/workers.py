"""What workers report, and which workers the store knows of."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from celery_graceful.maintenance.worker_details import NO_DETAILS, Details, read_details
from celery_graceful.stores.base import REPORTS
from celery_graceful.text import strict_json

if TYPE_CHECKING:
    from celery_graceful.runtime import Runtime
    from celery_graceful.settings import Settings
    from celery_graceful.stores.base import Store

SCHEMA = 1
#: Tasks that a report names; their number is reported in any case.
MOST_BUSY = 100
#: How long a report may be, and a name in it, in characters.
LONGEST, LONGEST_NAME = 1024 * 1024, 1024
#: For how many leases after its last report a worker that does not answer is listed.
LISTED_FOR = 3
#: After so many times between two reports without one, a worker has missed some.
MISSED_REPORTS = 2.5
#: A worker reports at least so often before others would count it as gone.
REPORTS_PER_LEASE = 3


@dataclass(frozen=True, slots=True)
class Busy:
    """A task that a worker has started, or has sent to its pool and cannot take back."""

    task: str
    id: str
    queue: str
    #: How long it has run.
    seconds: float
    #: Whether it is an iterable task, which can stop at its next checkpoint.
    run: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """One worker at one moment."""

    #: Celery's node name, as ``celery inspect`` takes it.
    hostname: str
    pid: int
    #: ``prefork``, ``threads``, ``solo``, …
    pool: str
    #: How many tasks it can run at once.
    slots: int
    #: What it consumes, or would if nothing were held.
    queues: tuple[str, ...] = ()
    #: Queues that are never held on it.
    exempt: tuple[str, ...] = ()
    #: The version of the mode it has put into force; -1: none yet.
    version: int = -1
    #: It was started with ``--maintenance-force``.
    forced: bool = False
    #: Whether it has stopped consuming all that its version of the mode holds.
    paused: bool = False
    #: It has not reached the store for a whole lease, and consumes nothing.
    cut_off: bool = False
    busy: tuple[Busy, ...] = ()
    #: How many there are, if not all are named.
    busy_count: int = 0
    #: Tasks it has parked, since they are held by name.
    parked: int = 0
    #: The longest time that each task took recently, in seconds.
    longest: Mapping[str, float] = field(default_factory=dict)
    #: Names this start of the worker, as the store does; empty: its version does not say.
    start: str = ""
    #: Seconds since it started.
    up_for: float = 0.0
    #: Why the plugin could not start on it; empty when it could.
    failure: str = ""
    details: Details = NO_DETAILS
    #: It stops, and takes no more messages.
    stopping: bool = False

    @property
    def running(self) -> tuple[Busy, ...]:
        """Those of ``busy`` that run; of those that may be about to, as many as have a slot."""
        begun = tuple(each for each in self.busy if each.seconds)
        about_to = tuple(each for each in self.busy if not each.seconds)
        return begun + about_to[: max(0, self.slots - len(begun))]

    @property
    def waiting_count(self) -> int:
        """How many wait in the worker for a slot, and would go back to their queue."""
        begun = sum(1 for each in self.busy if each.seconds)
        return max(0, self.busy_count - max(self.slots, begun))


@dataclass(frozen=True, slots=True)
class KnownWorker:
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


def known_workers(store: Store) -> list[KnownWorker]:
    """All workers whose reports are kept, those that were lost recently included."""
    return [KnownWorker(it.name, decode_report(it.text), it.age) for it in store.texts(REPORTS)]


def live_workers(runtime: Runtime) -> list[KnownWorker]:
    """Those that have reported recently."""
    return [w for w in known_workers(runtime.store) if w.age <= patience(runtime.settings)]


# -- how often they report -------------------------------------------------------------------


def report_every(settings: Settings) -> float:
    """Seconds between two reports of a worker."""
    return min(settings.maintenance_poll, settings.lease_ttl / REPORTS_PER_LEASE)


def heartbeat(settings: Settings) -> float:
    """Seconds within which a worker that runs, and reaches the store, reports again."""
    return MISSED_REPORTS * report_every(settings)


def patience(settings: Settings) -> float:
    """Seconds after which a report is too old to count: a lease, and never a mere poll or two."""
    return max(settings.lease_ttl, MISSED_REPORTS * settings.maintenance_poll)


# -- which start of a worker: a killed one leaves its report, and its name is used again ------


def answer_of(worker: KnownWorker, reports: Iterable[Report]) -> Report | None:
    """What this very start of a worker answered over the broker.

    A report that does not name its start counts for its node name.
    """
    host, start = worker.hostname, worker.worker
    return next((r for r in reports if r.hostname == host and r.start in ("", start)), None)


def is_replaced(
    worker: KnownWorker,
    known: Iterable[KnownWorker],
    answers: Iterable[Report],
    *,
    heartbeat: float,
) -> bool:
    """Whether another start of the same name began after this one's last report.

    Two workers that share a name both keep reporting, so neither began after the last report of
    the other for longer than a heartbeat.
    """
    if worker.age <= heartbeat:
        return False
    reports = [(w.report, w.age) for w in known if w.report is not None]
    return any(
        report.start not in ("", worker.worker)
        and report.hostname == worker.hostname
        and age + report.up_for < worker.age
        for report, age in (*reports, *((report, 0.0) for report in answers))
    )


def is_of_another(worker: KnownWorker, consumed: Collection[str], elsewhere: bool) -> bool:
    """Whether the worker that answers to a silent worker's name is surely another one.

    Args:
        consumed: the queues that it consumes.
        elsewhere: whether it named another namespace.
    """
    if elsewhere or worker.report is None:
        return elsewhere
    return bool(consumed) and not set(consumed) & set(worker.report.queues)


def not_known(reports: Iterable[Report], known: Collection[KnownWorker]) -> list[Report]:
    """The answers of workers that the store has no report of."""
    starts = {worker.worker for worker in known}
    hosts = {worker.hostname for worker in known}
    return [r for r in reports if (r.start not in starts if r.start else r.hostname not in hosts)]


# -- as text ---------------------------------------------------------------------------------


def encode_report(report: Report) -> str:
    """The report as JSON."""
    return json.dumps({"schema": SCHEMA, **asdict(report)}, separators=(",", ":"))


def decode_report(text: str) -> Report | None:
    """The inverse of :func:`encode_report`; ``None`` for anything else."""
    try:
        data = strict_json.loads(text, LONGEST)
        if strict_json.whole(data.pop("schema"), "its schema") != SCHEMA:
            return None
        return _report({name: value for name, value in data.items() if name in _KNOWN})
    except (ValueError, TypeError, LookupError, AttributeError):
        return None


#: What a later version adds is not needed to know whether a worker is paused.
_KNOWN = frozenset(each.name for each in fields(Report))


def _report(data: dict[str, Any]) -> Report:
    report = Report(**data)
    strict_json.text(report.failure, "failure", LONGEST)
    for name in ("hostname", "pool", "start"):
        strict_json.text(getattr(report, name), name, LONGEST_NAME)
    for name in ("pid", "slots", "busy_count", "parked"):
        strict_json.whole(getattr(report, name), name)
    for name in ("forced", "paused", "cut_off", "stopping"):
        strict_json.flag(getattr(report, name), name)
    strict_json.whole(report.version, "version", -1)
    strict_json.number(report.up_for, "up_for")
    if not isinstance(report.longest, dict):
        raise ValueError("longest is no mapping")
    longest = {task: strict_json.number(s, "a duration") for task, s in report.longest.items()}
    return replace(
        report,
        queues=strict_json.names(report.queues, "queues"),
        exempt=strict_json.names(report.exempt, "exempt"),
        busy=tuple(_busy(**each) for each in data["busy"]),
        longest=longest,
        details=read_details(data.get("details")),
    )


def _busy(task: Any, id: Any, queue: Any, seconds: Any, run: Any) -> Busy:
    return Busy(
        strict_json.text(task, "a task"),
        strict_json.text(id, "a task's id"),
        strict_json.text(queue, "a queue"),
        strict_json.number(seconds, "a duration"),
        strict_json.flag(run, "whether it is a run"),
    )
