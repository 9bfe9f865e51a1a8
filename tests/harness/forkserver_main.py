"""The process that ``forkserver.py`` starts: it imports what a worker needs, and forks on request.

It has one thread, makes no Celery application and opens no connection, so that a child of it is
as a new process is after its imports.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import mmap
import os
import pkgutil
import runpy
import signal
import socket
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

#: Packages of ours that are imported with all their modules: without SQLAlchemy, which few use, and
#: without what ``celery_graceful.sources`` itself imports when it is used.
ROOMS = ("_celery", "maintenance", "processes", "runs", "stop", "tasks", "worker")
MODULES = (
    "celery.app.control",
    "celery.app.log",
    "celery.apps.beat",
    "celery.apps.worker",
    "celery.backends.redis",
    "celery.beat",
    "celery.bin.celery",
    "celery.concurrency.prefork",
    "celery.concurrency.solo",
    "celery.concurrency.thread",
    "celery.worker.worker",
    "celery.worker.autoscale",
    "celery.worker.consumer",
    "celery.events.state",
    "celery_graceful.plugin",
    "celery_graceful.sources",
    "celery_graceful.stores.redis.store",
    "kombu.transport.pyamqp",
    "kombu.transport.redis",
    "tests.harness.ledger",
)
HEADER = 4  # bytes that say how long the message is
_SET_MM, _SET_MM_MAP = 35, 14
_SET_PDEATHSIG = 1
#: Fields of /proc/self/stat, by their numbers in proc(5), in the order of ``prctl_mm_map``.
_START_CODE, _END_CODE, _START_DATA, _END_DATA, _START_BRK, _START_STACK = 26, 27, 45, 46, 47, 28

_shown: list[mmap.mmap] = []  # memory that the kernel reads as this process's arguments


def serve(connection: socket.socket) -> dict[str, Any]:
    """Answer requests; returns the request to run, in a child."""
    while True:
        header, fds, _, _ = socket.recv_fds(connection, HEADER, 3)
        if not header:
            os._exit(0)  # the test run has ended
        request = json.loads(_receive(connection, int.from_bytes(header, "big")))
        if "poll" in request:
            answer = {"code": _poll(request["poll"])}
        else:
            begun, told = os.pipe()
            pid = os.fork()
            if pid == 0:
                connection.close()
                os.close(begun)
                _become(request, fds)
                os.close(told)
                return dict(request)
            os.close(told)
            os.read(begun, 1)  # nothing, once it leads its session
            for fd in (begun, *fds):
                os.close(fd)
            answer = {"pid": pid}
        body = json.dumps(answer).encode()
        connection.sendall(len(body).to_bytes(HEADER, "big") + body)


def run(request: dict[str, Any]) -> None:
    """Do what ``python`` does with the arguments."""
    main = types.ModuleType("__main__")
    # The old one goes on to hold what runs here.
    sys.modules["forkserver_main"], sys.modules["__main__"] = sys.modules["__main__"], main
    sys.orig_argv = request["argv"]
    how, *rest = request["argv"][1:]
    if how == "-m":
        sys.argv = rest
        runpy._run_module_as_main(rest[0])  # type: ignore[attr-defined]
    elif how == "-c":
        sys.argv = ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), main.__dict__)
    else:
        sys.argv = [how, *rest]
        sys.path[0] = os.path.dirname(os.path.abspath(how))
        main.__file__ = how
        exec(compile(Path(how).read_bytes(), how, "exec"), main.__dict__)


def _receive(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        found += connection.recv(size - len(found))
    return found


def _poll(pid: int) -> int | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _become(request: dict[str, Any], fds: list[int]) -> None:
    parent = os.getppid()
    os.setsid()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    for target, fd in enumerate(fds):
        os.dup2(fd, target)
        os.close(fd)
    os.chdir(request["cwd"])
    sys.path[0] = request["cwd"]
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    _show(libc, request["argv"], request["env"])


def _show(libc: ctypes.CDLL, argv: list[str], env: dict[str, str]) -> None:
    """Have ``/proc/PID/cmdline`` and ``environ`` show what this process was given.

    Raises:
        OSError: the kernel does not allow it.
    """
    arguments = b"".join(os.fsencode(one) + b"\0" for one in argv)
    variables = b"".join(os.fsencode(f"{key}={value}") + b"\0" for key, value in env.items())
    memory = mmap.mmap(
        -1,
        len(arguments) + len(variables) + 1,
        flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,
    )
    memory.write(arguments + variables)
    _shown.append(memory)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    middle, end = start + len(arguments), start + len(arguments) + len(variables)
    stat = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    libc.sbrk.restype = ctypes.c_void_p

    def field(number: int) -> int:
        return int(stat[number - 3])

    layout = (ctypes.c_uint64 * 13)(
        *(field(_START_CODE), field(_END_CODE), field(_START_DATA), field(_END_DATA)),
        *(field(_START_BRK), libc.sbrk(0), field(_START_STACK)),
        *(start, middle, middle, end),
        *(0, 0xFFFF_FFFF << 32),  # no auxiliary vector, and the program stays what it is
    )
    if libc.prctl(_SET_MM, _SET_MM_MAP, ctypes.byref(layout), ctypes.sizeof(layout), 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_MM_MAP) failed; is this Linux?")


def _import() -> None:
    for name in MODULES:
        importlib.import_module(name)
    for room in ROOMS:
        package = importlib.import_module(f"celery_graceful.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    from celery import _state

    assert vars(_state)["default_app"] is None, "an import made a Celery application"
    assert "sqlalchemy" not in sys.modules, "it is watched where a task has imported it"
    assert threading.active_count() == 1, threading.enumerate()


if __name__ == "__main__":
    sys.path[0] = sys.argv[2]
    _import()
    run(serve(socket.socket(fileno=int(sys.argv[1]))))
