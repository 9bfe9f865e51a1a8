"""Workers that run, as they answer ``celery inspect graceful``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

__all__ = ["Running", "from_answer"]


@dataclass(frozen=True, slots=True)
class Running:
    """What one worker says of itself; times in seconds."""

    #: Celery's node name.
    hostname: str
    #: The host it runs on, by its own name.
    host: str = ""
    app: str = ""
    namespace: str = ""
    pool: str = ""
    slots: int = 0
    queues: tuple[str, ...] = ()
    #: Versions of this package and of Celery.
    version: str = ""
    celery: str = ""
    #: ``None``: it does not know.
    grace: float | None = None
    margin: float | None = None
    grace_source: str = ""
    #: Seconds until SIGKILL, once it stops.
    seconds_left: float | None = None
    soft_shutdown_timeout: float = 0.0
    remap_sigterm: str = ""
    prefetch: int = 0
    forced: bool = False
    #: Settings in which all workers of an app have to agree, as texts.
    settings: Mapping[str, str] = field(default_factory=dict)


def from_answer(answer: Any) -> Running | None:
    """A worker from what it answered; ``None`` if it does not tell enough.

    Other versions may say more, or less.
    """
    said = answer.get("vitals") if isinstance(answer, Mapping) else None
    if not isinstance(said, Mapping) or not said.get("hostname"):
        return None
    known = {each.name: said[each.name] for each in fields(Running) if each.name in said}
    known["queues"] = tuple(known.get("queues") or ())
    return Running(**known)
