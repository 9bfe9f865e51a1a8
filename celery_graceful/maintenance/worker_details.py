"""What a worker's report says beside the maintenance: its grace period, versions, processes.

Nobody depends on it to know whether a worker is paused, so what cannot be read is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from celery_graceful.processes.leaks.notes import Leak, decode_leak
from celery_graceful.text import strict_json

#: Processes and leaks that a report names; the number of processes is reported in any case.
MOST_PROCESSES, MOST_LEAKS = 30, 20
#: How much of a command a report has, in characters; and how long another text may be.
LONGEST_COMMAND, LONGEST_TEXT = 200, 1024

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Process:
    """A background process of a task."""

    #: Without what is secret in it.
    command: str
    task: str
    id: str
    #: Its own pid, 0 while it starts; and that of the process that started it.
    pid: int
    owner: int
    #: Unix seconds, by the clock of its host.
    since: float


@dataclass(frozen=True, slots=True)
class Details:
    """What is known of a worker beside what it runs."""

    #: Versions of this package and of Celery.
    plugin: str = ""
    celery: str = ""
    #: The host it runs on, by its own name.
    host: str = ""
    #: Seconds from the stop signal to SIGKILL, how long before its end tasks are cut off, and who
    #: says so; ``None``: it does not know.
    grace: float | None = None
    margin: float | None = None
    grace_source: str = ""
    processes: tuple[Process, ...] = ()
    #: How many there are, if not all are named.
    process_count: int = 0
    #: What tasks have left behind during the last day, the latest first.
    leaks: tuple[Leak, ...] = ()
    #: The setting ``graceful_leaked_processes``.
    leak_mode: str = ""


#: Of a worker whose version does not say.
NO_DETAILS = Details()


def read_details(value: Any) -> Details:
    """The details in a report; what is wrong in them is left out."""
    if not isinstance(value, dict):
        return NO_DETAILS
    data = {name: each for name, each in value.items() if name in _KNOWN}
    data["processes"] = _all(_process, data.get("processes"))
    data["leaks"] = _all(decode_leak, data.get("leaks"))
    for name, read in _READERS.items():
        if name in data:
            try:
                data[name] = read(data[name], name)
            except ValueError:
                del data[name]
    return Details(**data)


_KNOWN = frozenset(each.name for each in fields(Details))


def _text(value: Any, name: str) -> str:
    return strict_json.text(value, name, LONGEST_TEXT)


def _seconds(value: Any, name: str) -> float | None:
    return None if value is None else strict_json.number(value, name)


_READERS: dict[str, Callable[[Any, str], Any]] = {
    **dict.fromkeys(("plugin", "celery", "host", "grace_source", "leak_mode"), _text),
    **dict.fromkeys(("grace", "margin"), _seconds),
    "process_count": strict_json.whole,
}


def _all(read: Callable[[Any], _T], given: Any) -> tuple[_T, ...]:
    """What can be read of a list."""
    found = []
    for each in given if isinstance(given, list) else ():
        try:
            found.append(read(each))
        except ValueError:
            continue
    return tuple(found)


def _process(data: Any) -> Process:
    if not isinstance(data, dict):
        raise ValueError("a process is no object")
    try:
        process = Process(**data)
    except TypeError as error:
        raise ValueError(str(error)) from error
    for name in ("command", "task", "id"):
        _text(getattr(process, name), name)
    for name in ("pid", "owner"):
        strict_json.whole(getattr(process, name), name)
    return replace(process, since=strict_json.number(process.since, "since"))
