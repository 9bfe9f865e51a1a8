"""The stop flag: a few bytes of memory that a worker shares with its pool children.

One writer, the worker's main process. Where that has several workers (threads, greenlets), each has
a flag, and a run sees that of the worker that has received it; other tasks see the last one's.
"""

from __future__ import annotations

import json
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from multiprocessing import parent_process
from typing import NamedTuple

from celery_graceful.stop.flag_bytes import MAGIC
from celery_graceful.stop.flag_bytes import SIZE as SIZE
from celery_graceful.stop.flag_bytes import Stop as Stop
from celery_graceful.stop.flag_bytes import StopFlag as StopFlag

#: Names the flag's memory, its owner and the worker to processes started by the worker.
ENVIRONMENT = "CELERY_GRACEFUL_STOP_FLAG"

_MEMORY_NAME = "celery-graceful-stop"
_PREFIX = "celery-graceful-"

#: The flag that this process uses where nothing says which: of its only worker, or its parent's.
_flag: StopFlag | None = None
#: The flags of this process's own workers by node name, and how children find each.
_owned: dict[str, tuple[StopFlag, str]] = {}
_refused: str | None = None


def owned(worker: str) -> StopFlag:
    """Create the flag of a worker whose main process this is, and let children find it.

    Args:
        worker: its node name, a slash, and what no other start of it has.
    """
    global _flag
    withdraw(worker)
    if not _owned:  # what this very process wrote before it was re-executed
        withdraw()
    handle, path = _anonymous() or _named()
    try:
        os.ftruncate(handle, SIZE)
        memory = mmap.mmap(handle, SIZE)
        memory[: len(MAGIC)] = MAGIC
    finally:
        if not path.startswith("/proc/"):
            os.close(handle)
    address = os.environ[ENVIRONMENT] = json.dumps([os.getpid(), path, worker])
    _flag = StopFlag(memory, os.getpid(), worker)
    _owned[_node(worker)] = _flag, address
    return _flag


def _node(worker: str) -> str:
    return worker.partition("/")[0]


def current(node: str | None = None) -> StopFlag | None:
    """The flag of the worker this process belongs to, or ``None`` outside of a worker.

    Args:
        node: the worker's name, for a process with several; else that of the last one counts.
    """
    global _flag, _refused
    if _flag is not None:
        if len(_owned) > 1:
            return _owned.get(node or "", (_flag,))[0]
        return _flag
    address = os.environ.get(ENVIRONMENT)
    if not address or address == _refused:
        return None
    _flag = _open(address)
    if _flag is None:
        _refused = address
    return _flag


_overlooked: ContextVar[bool] = ContextVar("celery_graceful_overlooked", default=False)


@contextmanager
def overlooked() -> Iterator[None]:
    """Code within sees no flag: it has nowhere to go on, so it has to run to its end here."""
    token = _overlooked.set(True)
    try:
        yield
    finally:
        _overlooked.reset(token)


def seen() -> StopFlag | None:
    """The flag as tasks see it: :func:`current`, unless it is overlooked."""
    return None if _overlooked.get() else current()


@contextmanager
def lent(flag: StopFlag) -> Iterator[None]:
    """Make ``flag`` the one of this process for a while: for tests."""
    global _flag
    before, _flag = _flag, flag
    try:
        yield
    finally:
        _flag = before


def withdraw(worker: str | None = None) -> None:
    """Forget a flag and remove what it left: a re-executed worker must start clean.

    Args:
        worker: as for :func:`owned`; ``None``: whatever flags this process has.
    """
    global _flag
    if worker is None:
        for known, _ in list(_owned.values()):
            withdraw(known.worker)
        _remove(os.environ.pop(ENVIRONMENT, None))
        _flag = None
        return
    flag, address = _owned.pop(_node(worker), (None, None))
    _remove(address)
    if address is not None and os.environ.get(ENVIRONMENT) == address:
        del os.environ[ENVIRONMENT]
    if flag is not None and flag is _flag:
        _flag = next((other for other, _ in reversed(_owned.values())), None)


def _remove(address: str | None) -> None:
    named = _read(address) if address else None
    if named is None or named.pid != os.getpid():
        return
    if named.path.startswith("/proc/"):
        _close(named.path)
    elif _is_ours(named.path):
        os.unlink(named.path)


def _is_ours(path: str) -> bool:
    folder, name = os.path.split(path)
    made_here = folder == (_shared_folder() or tempfile.gettempdir())
    return made_here and name.startswith(_PREFIX) and os.path.isfile(path)


class _Named(NamedTuple):
    pid: int
    path: str
    worker: str


def _read(address: str) -> _Named | None:
    """What the environment says; anybody may have written it."""
    try:
        pid, path, worker = json.loads(address)
    except (ValueError, TypeError, RecursionError):
        return None
    if type(pid) is int and type(path) is str and type(worker) is str:
        return _Named(pid, path, worker)
    return None


def _close(path: str) -> None:
    """Close the flag's memory, unless a re-exec closed it and the number means another file."""
    number = path.rsplit("/", 1)[1]
    if number.isdigit() and os.path.exists(path) and _MEMORY_NAME in os.readlink(path):
        os.close(int(number))


def _anonymous() -> tuple[int, str] | None:
    create = getattr(os, "memfd_create", None)
    if create is None:
        return None
    handle = create(_MEMORY_NAME)
    path = f"/proc/{os.getpid()}/fd/{handle}"
    if os.path.exists(path):
        return handle, path
    os.close(handle)
    return None


def _named() -> tuple[int, str]:
    return tempfile.mkstemp(prefix=_PREFIX, dir=_shared_folder())


def _shared_folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _open(address: str) -> StopFlag | None:
    """Open the flag that another process has named; only a direct child may trust it."""
    named = _read(address)
    if named is None:
        return None
    # What this very process wrote before it was re-executed is no longer true.
    if named.pid == os.getpid() or (named.pid != os.getppid() and parent_process() is None):
        return None
    try:
        # Not to wait for a writer, should the path name a pipe.
        handle = os.open(named.path, os.O_RDWR | os.O_NONBLOCK)
    except (OSError, ValueError):
        return None
    try:
        memory = mmap.mmap(handle, SIZE)
    except (OSError, ValueError):
        return None
    finally:
        os.close(handle)
    if memory[: len(MAGIC)] != MAGIC:
        memory.close()
        return None
    return StopFlag(memory, named.pid, named.worker)
