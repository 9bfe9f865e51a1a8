"""Which background processes there are on this host: for who comes after a crash.

A file for each, written before its process is started and removed by its guardian when all has
ended. The guardian holds a lock on it as long as it lives; a file without a lock is what a guardian
left behind that was killed.
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
from celery_graceful.processes import tagged
from celery_graceful.text import strict_json
from celery_graceful.text.counting import pids
from celery_graceful.text.files import read_regular

log = logging.getLogger(__name__)

_SUFFIX = ".json"
#: What was begun and not finished is removed after so many seconds.
_DRAFT_AGE = 60.0
#: A file is no longer, in characters, and neither is a tag.
_LONGEST, _LONGEST_TAG = 4 * 1024 * 1024, 256
_LAST_PID = 2**31 - 1
#: A sweep waits no longer for one entry's processes, in seconds.
_LONGEST_GRACE = 7 * 86400.0
#: Files remembered as warned of.
_MOST_WARNED = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """One background process."""

    tag: str
    #: Its command, for people.
    command: str
    #: The process that started it, and the task if there was one.
    owner: int
    task: str
    task_id: str
    #: Seconds since the epoch.
    since: float
    stop_signal: int
    #: Seconds.
    grace: float
    #: The namespace of the app whose process started it; empty: of none.
    app: str = ""


def folder() -> Path:
    """Where the ledger is: one for each user of this host.

    Raises:
        ProcessError: somebody else made it first.
    """
    found = _place()
    found.mkdir(mode=0o700, exist_ok=True)
    about = found.lstat()
    if about.st_uid != os.getuid() or found.is_symlink() or about.st_mode & 0o022:
        raise ProcessError(f"{found} is not this user's own folder; remove it, or set TMPDIR")
    return found


def _place() -> Path:
    return Path(tempfile.gettempdir()) / f"celery-graceful-{os.getuid()}"


def enter(
    tag: str, command: str, task: tuple[str, str], stop_signal: int, grace: float, app: str = ""
) -> tuple[Path, int] | None:
    """Write an entry; returns its file and a descriptor that holds the lock.

    ``None`` where nothing can be written: the guardian does its work without, and a warning says
    so.
    """
    entry = Entry(tag, command, os.getpid(), *task, time.time(), stop_signal, grace, app)
    try:
        path = folder() / f"{tag}{_SUFFIX}"
        return path, _write(path, json.dumps(asdict(entry)).encode())
    except (OSError, ProcessError) as error:
        log.warning("Background process %s is in no ledger: %s", command, error)
        return None


def _write(path: Path, data: bytes) -> int:
    """Make the file; returns a descriptor that holds the lock."""
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
    """Those of an app, by its namespace, on this host and of this user, the oldest first.

    ``None``: those of all apps.
    """
    found = (entry for _, entry in _read() if app is None or entry.app == app)
    return sorted(found, key=lambda entry: entry.since)


def is_empty() -> bool:
    """Whether there is nothing to be looked at; a look leaves nothing behind."""
    return not _place().exists() or not any(folder().iterdir())


def sweep() -> list[Entry]:
    """End what guardians left behind that were killed; returns the entries of what that was.

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
            ended = tagged.end(entry.tag, entry.stop_signal, entry.grace)
            if ended.found:
                swept.append(entry)
            if not _is_left(entry, ended):
                path.unlink(missing_ok=True)
        except BlockingIOError:
            continue  # its guardian lives, or another worker is at it
        except ImportError:
            log.warning(
                "%s may still run, of task %s[%s]; its guardian was killed. Install "
                "celery-graceful[processes] to have it ended",
                *(entry.command, entry.task, entry.task_id),
            )
        except Exception:
            log.exception("%s cannot be dealt with; the other background processes are", path)
        finally:
            os.close(fd)
    return swept


def _remove_drafts() -> None:
    """Of processes that were killed while they wrote one."""
    if not _place().exists():
        return
    for path in folder().iterdir():
        with contextlib.suppress(FileNotFoundError):
            about = path.lstat()
            is_draft = path.suffix != _SUFFIX and stat.S_ISREG(about.st_mode)
            if is_draft and time.time() - about.st_mtime > _DRAFT_AGE:
                path.unlink()


def _is_left(entry: Entry, ended: tagged.Ended) -> bool:
    """Say what became of it; whether somebody has to look again."""
    about = (entry.command, entry.task, entry.task_id)
    gone = [pid for pid in ended.found if pid not in ended.left]
    if gone:
        log.warning(
            "Ended %s of task %s[%s] (%s): it had outlived its guardian", *about, pids(gone)
        )
    if ended.left:
        left = pids(ended.left)
        log.warning("%s of task %s[%s] is still there after SIGKILL: %s", *about, left)
    hidden = tagged.hidden(entry.command, entry.since)
    if hidden:
        log.warning(
            "%s of task %s[%s] may still run, as another user whose processes cannot be ended from"
            " here: %s",
            *(*about, pids(hidden)),
        )
    return bool(ended.left or hidden)


def _read() -> Iterator[tuple[Path, Entry]]:
    if not _place().exists():
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
            _warn_of(path, error)


_warned: set[Path] = set()


def _warn_of(path: Path, why: object) -> None:
    """Once for each file: every worker of a host looks, and ``ps`` does each time."""
    if path not in _warned and len(_warned) < _MOST_WARNED:
        _warned.add(path)
        log.warning("%s is no entry of the ledger of background processes: %s", path, why)


def decode_entry(text: str) -> Entry:
    """The entry that a file of the ledger holds.

    Raises:
        ValueError: it holds something else; what would find processes of others is refused.
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
    strict_json.whole(entry.stop_signal, "stop_signal", 1, signal.NSIG - 1)
    return replace(
        entry,
        since=strict_json.number(entry.since, "since"),
        grace=strict_json.number(entry.grace, "grace", 0.0, _LONGEST_GRACE),
    )
