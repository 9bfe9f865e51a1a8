"""What a worker tells of itself: which version of the mode it keeps, and what it still runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["MOST_BUSY", "Busy", "Report", "decode_report", "encode_report"]

SCHEMA = 1
#: Tasks that a report names; their number is told in any case.
MOST_BUSY = 100


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


def encode_report(report: Report) -> str:
    """The report as JSON."""
    return json.dumps({"schema": SCHEMA, **asdict(report)}, separators=(",", ":"))


def decode_report(text: str) -> Report | None:
    """The inverse of :func:`encode_report`; ``None`` for what another version wrote otherwise."""
    try:
        data: dict[str, Any] = json.loads(text)
        if data.pop("schema") != SCHEMA:
            return None
        data["busy"] = tuple(Busy(**busy) for busy in data["busy"])
        data["queues"], data["exempt"] = tuple(data["queues"]), tuple(data["exempt"])
        return Report(**data)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
