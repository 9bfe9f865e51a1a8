"""Ways to leave a process behind, and to see what became of it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from subprocess import PIPE

import psutil

from celery_graceful.processes.leaks import descendants
from tests.harness import wait_for
from tests.harness.family import is_alive

SLEEP = ["sleep", "600"]
#: Takes SIGTERM for nothing, once it says so.
STUBBORN = "trap '' TERM; echo; while :; do sleep 0.05; done"


def child(*argv: str) -> int:
    """Started without an object that would say at its end that somebody has to wait for it."""
    argv = argv or tuple(SLEEP)
    return os.posix_spawnp(argv[0], argv, os.environ)


def stubborn() -> int:
    read, write = os.pipe()
    dup = [(os.POSIX_SPAWN_DUP2, write, 1)]
    pid = os.posix_spawnp("sh", ["sh", "-c", STUBBORN], os.environ, file_actions=dup)
    os.close(write)
    os.read(read, 1)
    os.close(read)
    return pid


def orphan() -> int:
    """As ``program &`` in a shell that ends: nobody's child any more."""
    code = f"{shlex.join(SLEEP)} >/dev/null 2>&1 & echo $!"
    return _begun(subprocess.run(["sh", "-c", code], stdout=PIPE, check=True).stdout)


def daemon() -> int:
    """Forked twice, in a session of its own."""
    code = (
        "import os, sys\n"
        "if os.fork(): os._exit(0)\n"
        "os.setsid()\n"
        "if pid := os.fork(): print(pid, flush=True); os._exit(0)\n"
        f"os.close(1); os.execvp('sleep', {SLEEP})"
    )
    return _begun(subprocess.run([sys.executable, "-c", code], stdout=PIPE, check=True).stdout)


def _begun(printed: bytes) -> int:
    """A fork has become the program."""
    process = psutil.Process(int(printed))
    wait_for(lambda: process.cmdline() == SLEEP, 10, lambda: str(process))
    return int(process.pid)


def age(pid: int) -> float:
    """Seconds since a process began."""
    return float(descendants.now() - (psutil.Process(pid).create_time() - psutil.boot_time()))


def gone(pid: int) -> bool:
    """Whether a process has ended, and was waited for by whoever has to."""
    return not psutil.pid_exists(pid)


def end(pid: int) -> None:
    """SIGKILL with descendants, and wait."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in processes:
        process.kill()
    wait_for(lambda: not any(map(is_alive, processes)), 5, lambda: f"the end of {processes}")
