"""Notes of what tasks have left behind on this host, for whoever asks later.

A pool child finds a leak, and its worker's main process reports it: a small file is the cheapest
way from one to the other, whatever the pool. Notes outlive the worker for a day.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from celery_graceful.errors import ProcessError
from celery_graceful.processes import registry
from celery_graceful.text import strict_json
from celery_graceful.text.files import read_regular

log = logging.getLogger("celery_graceful.processes")

#: A folder in that of the registry.
FOLDER = "leaks"
_SUFFIX = ".json"
#: Notes are kept for so many seconds, and at most so many of them on a host.
KEEP, MOST = 86400.0, 100
#: How long a text in a note may be, in characters, and the whole file, in bytes.
_LONGEST_TEXT, _LONGEST = 400, 16 * 1024


@dataclass(frozen=True, slots=True)
class Leak:
    """A process that a task has left behind, and what was done about it."""

    #: When it was found, in Unix seconds.
    at: float
    #: The tasks that may have started it, as ``task[id]``: several only where tasks overlap.
    tasks: tuple[str, ...]
    pid: int
    command: str
    #: Seconds that it had run.
    age: float
    #: ``"runs on"``, ``"ended"``, ``"killed"``, or ``"survived SIGKILL"``.
    done: str
    #: The node name of the worker, and its app's namespace.
    worker: str = ""
    app: str = ""


def note(leak: Leak, name: str = "") -> str:
    """Write a leak down; returns its name, by which it can be written again with another end.

    Where nothing can be written, the log has it all the same.
    """
    name = name or uuid.uuid4().hex
    short = replace(
        leak,
        command=leak.command[:_LONGEST_TEXT],
        tasks=tuple(each[:_LONGEST_TEXT] for each in leak.tasks[:8]),
    )
    try:
        folder = _folder()
        folder.mkdir(mode=0o700, exist_ok=True)
        draft = folder / f"{name}.draft"
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(asdict(short)))
        draft.rename(folder / f"{name}{_SUFFIX}")
    except (OSError, ProcessError) as error:
        log.debug("A leak cannot be noted: %s", error)
    return name


def notes(app: str, worker: str | None = None) -> list[Leak]:
    """The leaks of an app's workers on this host, or of one of them; the latest are first."""
    found = [leak for leak in _read() if leak.app == app and worker in (None, leak.worker)]
    return sorted(found, key=lambda leak: leak.at, reverse=True)


def prune() -> None:
    """Forget notes that are too old, or too many."""
    with contextlib.suppress(OSError, ProcessError):
        if not _there():
            return
        aged = sorted(((path.lstat().st_mtime, path) for path in _folder().iterdir()), reverse=True)
        for place, (at, path) in enumerate(aged):
            if place >= MOST or time.time() - at > KEEP:
                path.unlink(missing_ok=True)


def _folder() -> Path:
    return registry.folder() / FOLDER


def _there() -> bool:
    return not registry.is_missing() and _folder().is_dir()


def _read() -> Iterator[Leak]:
    try:
        paths = list(_folder().glob(f"*{_SUFFIX}")) if _there() else []
    except (OSError, ProcessError) as error:
        log.debug("Notes of leaks cannot be read: %s", error)
        return
    for path in paths:
        try:
            leak = decode_leak(strict_json.loads(read_regular(path, _LONGEST, own=True)))
        except (OSError, ValueError) as error:  # forgotten meanwhile, or no note
            log.debug("%s is no note of a leak: %s", path, error)
            continue
        if time.time() - leak.at <= KEEP:
            yield leak


def decode_leak(data: object) -> Leak:
    """A leak as JSON brings it.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(data, dict):
        raise ValueError("a leak is no object")
    try:
        leak = Leak(**data)
    except TypeError as error:
        raise ValueError(str(error)) from error
    for name in ("command", "done", "worker", "app"):
        strict_json.text(getattr(leak, name), name, 1024)
    strict_json.whole(leak.pid, "pid")
    return replace(
        leak,
        at=strict_json.number(leak.at, "at"),
        age=strict_json.number(leak.age, "age"),
        tasks=strict_json.names(leak.tasks, "tasks"),
    )
