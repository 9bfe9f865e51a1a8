"""Workers that run, as they answer ``celery inspect graceful``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from celery_graceful.text import strict_json

logger = logging.getLogger("celery_graceful.doctor")


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
    try:
        return _checked(Running(**known))
    except ValueError as exc:
        logger.warning("What a worker answers is passed over: %s", exc)
        return None


def _checked(worker: Running) -> Running:
    """Anybody may answer for a worker."""
    for each in fields(Running):
        value, kind = getattr(worker, each.name), str(each.type)
        if kind == "str":
            strict_json.text(value, each.name)
        elif kind == "int":
            strict_json.whole(value, each.name)
        elif kind == "bool":
            strict_json.flag(value, each.name)
        elif kind.startswith("float") and value is not None:
            strict_json.number(value, each.name)
    if not isinstance(worker.settings, Mapping):
        raise ValueError("settings is no mapping")
    for name, value in worker.settings.items():
        strict_json.text(value, strict_json.text(name, "a setting's name"))
    return replace(worker, queues=strict_json.names(worker.queues or (), "queues"))
