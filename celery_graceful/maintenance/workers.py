"""What workers report, and which workers the store knows of."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from celery_graceful.text import strict_json

if TYPE_CHECKING:
    from celery_graceful.settings import Settings
    from celery_graceful.stores.board import Board

SCHEMA = 1
#: Tasks that a report names; their number is told in any case.
MOST_BUSY = 100
#: How long a report may be, and a name in it, in characters.
LONGEST, LONGEST_NAME = 1024 * 1024, 1024


@dataclass(frozen=True, slots=True)
class Busy:
    """A task that a worker has begun, or has sent to its pool and cannot take back."""

    task: str
    id: str
    queue: str
    #: How long it has run.
    seconds: float
    #: Whether it is an iterable task, which leaves at its next checkpoint.
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
    #: Queues that go on in any case.
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
    #: The longest time that each task was seen to take lately, in seconds.
    longest: Mapping[str, float] = field(default_factory=dict)
    #: Names this start of the worker, as the store does; empty: its version does not say.
    start: str = ""
    #: Seconds since it started.
    up_for: float = 0.0
    #: Why the plugin could not start on it; empty when it could.
    failure: str = ""

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


def encode_report(report: Report) -> str:
    """The report as JSON."""
    return json.dumps({"schema": SCHEMA, **asdict(report)}, separators=(",", ":"))


def decode_report(text: str) -> Report | None:
    """The inverse of :func:`encode_report`; ``None`` for anything else, whoever wrote it."""
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
    whole, number, text, flag = (
        strict_json.whole, strict_json.number, strict_json.text, strict_json.flag
    )  # fmt: skip
    report = Report(**data)
    text(report.failure, "failure", LONGEST)
    for name in ("hostname", "pool", "start"):
        text(getattr(report, name), name, LONGEST_NAME)
    for name in ("pid", "slots", "busy_count", "parked"):
        whole(getattr(report, name), name)
    for name in ("forced", "paused", "cut_off"):
        flag(getattr(report, name), name)
    whole(report.version, "version", -1)
    number(report.up_for, "up_for")
    if not isinstance(report.longest, dict):
        raise ValueError("longest is no mapping")
    return replace(
        report,
        queues=strict_json.names(report.queues, "queues"),
        exempt=strict_json.names(report.exempt, "exempt"),
        busy=tuple(_busy(**each) for each in data["busy"]),
        longest={task: number(seconds, "a duration") for task, seconds in report.longest.items()},
    )


def _busy(task: Any, id: Any, queue: Any, seconds: Any, run: Any) -> Busy:
    return Busy(
        strict_json.text(task, "a task"),
        strict_json.text(id, "a task's id"),
        strict_json.text(queue, "a queue"),
        strict_json.number(seconds, "a duration"),
        strict_json.flag(run, "whether it is a run"),
    )


#: For how many leases after its last report a worker that does not answer is listed.
LISTED_FOR = 3
#: After so many times between two reports without one, a worker has missed some.
HEARTBEATS = 2.5
#: A worker reports at least so often before others would count it as gone.
REPORTS_PER_LEASE = 3


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


def known_workers(board: Board) -> list[KnownWorker]:
    """All workers whose reports are kept, those that were lost lately included."""
    return [KnownWorker(who, decode_report(text), age) for who, text, age in board.attendance()]


def report_every(settings: Settings) -> float:
    """Seconds between two reports of a worker."""
    return min(settings.maintenance_poll, settings.lease_ttl / REPORTS_PER_LEASE)


def heartbeat(settings: Settings) -> float:
    """Seconds within which a worker that runs, and reaches the store, reports again."""
    return HEARTBEATS * report_every(settings)


def patience(settings: Settings) -> float:
    """Seconds after which a report is too old to count: a lease, and never a mere poll or two."""
    return max(settings.lease_ttl, 2.5 * settings.maintenance_poll)


def answer_of(member: KnownWorker, reports: Iterable[Report]) -> Report | None:
    """What this very start of a worker answered over the broker.

    A report that does not name its start counts for its node name.
    """
    host, start = member.hostname, member.worker
    return next((r for r in reports if r.hostname == host and r.start in ("", start)), None)


def is_replaced(
    member: KnownWorker,
    members: Iterable[KnownWorker],
    reports: Iterable[Report],
    *,
    heartbeat: float,
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


def is_of_another(member: KnownWorker, consumed: Collection[str], elsewhere: bool) -> bool:
    """Whether the worker that answers to a silent worker's name is surely another one.

    Args:
        consumed: the queues that it consumes.
        elsewhere: whether it named another namespace.
    """
    if elsewhere or member.report is None:
        return elsewhere
    return bool(consumed) and not set(consumed) & set(member.report.queues)


def unknown(reports: Iterable[Report], members: Collection[KnownWorker]) -> list[Report]:
    """The answers of workers that the store has no report of."""
    starts = {member.worker for member in members}
    hosts = {member.hostname for member in members}
    return [r for r in reports if (r.start not in starts if r.start else r.hostname not in hosts)]
