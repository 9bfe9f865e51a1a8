"""The registry of background processes on this host, for whoever comes after a crash.

One file for each, written before the process is started, and removed by its guardian when all has
ended. The guardian holds a lock on the file as long as it lives: a file without a lock was left by
a guardian that was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import signal
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from celery_graceful.errors import ProcessError
from celery_graceful.text import strict_json
from celery_graceful.text.counting import pids
from celery_graceful.text.files import read_regular

log = logging.getLogger("celery_graceful.processes")

_SUFFIX = ".json"
#: Seconds after which a file that was begun and not finished is removed.
_DRAFT_AGE = 60.0
#: The longest file, and the longest tag, in characters.
_LONGEST, _LONGEST_TAG = 4 * 1024 * 1024, 256
_LAST_PID = 2**31 - 1
#: Where a file has the pid, which is known later than the rest: it is overwritten in its place.
_PID_AT, _PID_WIDTH = len('{"pid":'), 10
#: A sweep waits at most so long for the processes of one entry, in seconds.
_LONGEST_GRACE = 7 * 86400.0
#: How many files are remembered, to warn of each once.
_MOST_WARNED = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """One background process."""

    tag: str
    #: Its command, for people.
    command: str
    #: The process that started it; the name and id of the task, or "-".
    owner: int
    task: str
    task_id: str
    #: Seconds since the epoch.
    since: float
    stop_signal: int
    #: Seconds.
    grace: float
    #: The namespace of the app whose process started it; empty without an app.
    app: str = ""
    #: Its own; 0 until it has started.
    pid: int = 0

    def __str__(self) -> str:
        return f"{self.command} of task {self.task}[{self.task_id}]"


def folder() -> Path:
    """Where the registry is, one for each user of this host; made where it is missing.

    Raises:
        ProcessError: another user made it first.
    """
    found = _path()
    found.mkdir(mode=0o700, exist_ok=True)
    about = found.lstat()
    if about.st_uid != os.getuid() or found.is_symlink() or about.st_mode & 0o022:
        raise ProcessError(f"{found} is not this user's own folder; remove it, or set TMPDIR")
    return found


def _path() -> Path:
    return Path(tempfile.gettempdir()) / f"celery-graceful-{os.getuid()}"


def register(
    tag: str, command: str, task: tuple[str, str], stop_signal: int, grace: float, app: str = ""
) -> tuple[Path, int] | None:
    """Write an entry.

    Returns:
        Its file and a descriptor that holds the lock; ``None`` where nothing can be written: the
        guardian does its work without, and a warning is logged.
    """
    entry = Entry(tag, command, os.getpid(), *task, time.time(), stop_signal, grace, app)
    try:
        path = folder() / f"{tag}{_SUFFIX}"
        return path, _write_locked(path, _encode_entry(entry))
    except (OSError, ProcessError) as error:
        log.warning("Background process %s cannot be registered: %s", command, error)
        return None


def note_pid(path: Path, pid: int) -> None:
    """Write the command's pid into its entry, which stays the same locked file."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    except OSError:
        return  # it has just ended, and its entry with it
    try:
        os.pwrite(fd, f"{pid:{_PID_WIDTH}d}".encode(), _PID_AT)
    finally:
        os.close(fd)


def _encode_entry(entry: Entry) -> bytes:
    known = {name: value for name, value in asdict(entry).items() if name != "pid"}
    return f'{{"pid":{entry.pid:{_PID_WIDTH}d},{json.dumps(known)[1:]}'.encode()


def _write_locked(path: Path, data: bytes) -> int:
    fd, draft = tempfile.mkstemp(dir=path.parent, prefix=f"{path.stem}.")
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.write(fd, data)
        os.rename(draft, path)  # nobody sees it before it is locked
    except OSError:
        os.close(fd)
        os.unlink(draft)
        raise
    return fd


def entries(app: str | None = None) -> list[Entry]:
    """Those of an app, by its namespace, on this host and of this user; ``None``: of all apps.

    The oldest are first.
    """
    found = (entry for _, entry in _read() if app is None or entry.app == app)
    return sorted(found, key=lambda entry: entry.since)


def is_missing() -> bool:
    """Whether no process was ever registered here, nor a leak noted; makes no folder."""
    return not _path().exists()


def is_empty() -> bool:
    """Whether there is nothing to sweep; makes no folder."""
    return not _path().exists() or all(path.is_dir() for path in folder().iterdir())


# -- after a crash ---------------------------------------------------------------------------


def sweep() -> list[Entry]:
    """End what killed guardians left behind; returns the entries of what was found.

    Takes as long as the processes' grace. Without psutil, which finds them, a warning is logged.
    """
    swept = []
    _remove_drafts()
    for path, entry in _read():
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError:
            continue  # it has just ended, or another worker was faster
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            from celery_graceful.processes import ending

            found, left = ending.end_tagged(entry.tag, entry.stop_signal, entry.grace)
            if found:
                swept.append(entry)
            hidden = ending.inaccessible(entry.command, entry.since)
            _report(entry, [pid for pid in found if pid not in left], left, hidden)
            if not left and not hidden:
                path.unlink(missing_ok=True)
        except BlockingIOError:
            continue  # its guardian lives, or another worker does this
        except ImportError:
            log.warning(
                "%s may still run; its guardian was killed. Install celery-graceful[processes] to "
                "have it ended",
                entry,
            )
        except Exception:
            log.exception("%s cannot be swept; the other background processes are", path)
        finally:
            os.close(fd)
    return swept


def _report(entry: Entry, ended: list[int], left: list[int], hidden: list[int]) -> None:
    if ended:
        log.warning("Ended %s (%s): it had outlived its guardian", entry, pids(ended))
    if left:
        log.warning("%s is still there after SIGKILL: %s", entry, pids(left))
    if hidden:
        log.warning(
            "%s may still run, as another user whose processes cannot be ended from here: %s",
            entry,
            pids(hidden),
        )


def _remove_drafts() -> None:
    """Of processes that were killed while they wrote one."""
    if not _path().exists():
        return
    for path in folder().iterdir():
        with contextlib.suppress(FileNotFoundError):
            about = path.lstat()
            is_draft = path.suffix != _SUFFIX and stat.S_ISREG(about.st_mode)
            if is_draft and time.time() - about.st_mtime > _DRAFT_AGE:
                path.unlink()


# -- reading ---------------------------------------------------------------------------------


def _read() -> Iterator[tuple[Path, Entry]]:
    if not _path().exists():
        return
    for path in folder().glob(f"*{_SUFFIX}"):
        try:
            entry = decode_entry(read_regular(path, _LONGEST, own=True).decode())
            if entry.tag != path.stem:
                raise ValueError(f"its tag is {entry.tag!r:.60}, and its name another")
            yield path, entry
        except FileNotFoundError:
            continue  # it has just ended
        except (OSError, ValueError) as error:
            _warn_once(path, error)


_warned: set[Path] = set()


def _warn_once(path: Path, why: object) -> None:
    """Every worker of a host reads it, and ``status`` each time."""
    if path not in _warned and len(_warned) < _MOST_WARNED:
        _warned.add(path)
        log.warning("%s is no entry of the registry of background processes: %s", path, why)


def decode_entry(text: str) -> Entry:
    """The entry in a file of the registry.

    Raises:
        ValueError: it holds something else, or an entry that could match processes of others.
    """
    try:
        entry = Entry(**strict_json.loads(text, _LONGEST))
    except TypeError as error:  # fields that are missing, or unknown
        raise ValueError(str(error)) from error
    if not strict_json.text(entry.tag, "tag", _LONGEST_TAG):
        raise ValueError("tag is empty")
    for name in ("command", "task", "task_id", "app"):
        strict_json.text(getattr(entry, name), name, _LONGEST)
    strict_json.whole(entry.owner, "owner", 1, _LAST_PID)
    strict_json.whole(entry.pid, "pid", 0, _LAST_PID)
    strict_json.whole(entry.stop_signal, "stop_signal", 1, signal.NSIG - 1)
    return replace(
        entry,
        since=strict_json.number(entry.since, "since"),
        grace=strict_json.number(entry.grace, "grace", 0.0, _LONGEST_GRACE),
    )
