"""Workers among the processes of this host, and what is between them and the first one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from itertools import takewhile
from typing import Any, NamedTuple

from celery_graceful.doctor.commands.search import parse_words
from celery_graceful.doctor.commands.shell_syntax import SHELLS, NoShellParser, UnreadableShell
from celery_graceful.doctor.commands.worker_command import Command, Shell, Wrapper
from celery_graceful.doctor.facts import NOWHERE, Deployed, Given, Manager
from celery_graceful.grace.surroundings import VARIABLE

#: What to say where psutil is missing.
HOW_TO = "pip install 'celery-graceful[processes]'"
#: Programs that start the next one, and stay in front of it.
_INITS = frozenset({"tini", "tini-static", "docker-init", "catatonit", "dumb-init"})
_PASSING = _INITS | {"su", "sudo", "conda", "timeout", "runuser"}
_PROCFILE = frozenset({"honcho", "foreman", "goreman", "overmind", "hivemind"})
#: First processes that stop what they have started, and are no part of a container's command.
_SYSTEM = frozenset({"systemd", "init", "launchd", "supervisord", "s6-svscan", "runit", "runsvdir"})
_INTERPRETERS = ("python", "pypy", "ruby", "perl", "node")


class Process(NamedTuple):
    """A process of this host."""

    pid: int
    ppid: int
    argv: tuple[str, ...]
    #: Its variables, where they can be read.
    environ: Mapping[str, str] = {}

    @property
    def program(self) -> str:
        """Its name; for a script its own and not the interpreter's."""
        name = self.argv[0] if self.argv else ""
        if name.rpartition("/")[2].startswith(_INTERPRETERS):
            name = next((word for word in self.argv[1:] if not word.startswith("-")), name)
        return name.rpartition("/")[2].rstrip(":").lstrip("-")

    @property
    def starts(self) -> bool:
        """Whether it is a shell or another program that was given a command to start."""
        if self.program in SHELLS:
            return len(self.argv) > 1 and not self.argv[-1].startswith("-")
        return self.program in _PASSING


def readable() -> bool:
    """Whether processes can be examined: psutil is installed."""
    return find_spec("psutil") is not None


def all_processes() -> list[Process]:
    """All processes that this one may see."""
    import psutil

    return [_seen(process) for process in psutil.process_iter()]


def own_ancestry() -> list[Process]:
    """This process and all above it."""
    import psutil

    own = psutil.Process(os.getpid())
    return [_seen(process) for process in (own, *own.parents())]


def _seen(process: Any) -> Process:
    import psutil

    ppid, argv, environ = 0, (), {}
    try:
        ppid, argv = process.ppid(), tuple(process.cmdline())
        environ = process.environ()
    except (psutil.Error, OSError):
        pass  # it has ended, or is of another user: the rest of the tree is enough
    return Process(process.pid, ppid, argv, environ)


def workers_in(processes: Iterable[Process], only: int | None = None) -> list[Deployed]:
    """The workers among some processes, each with what is in front of it.

    A worker that was started at a terminal is left out: nothing deploys it.

    Args:
        processes: all that can be seen.
        only: the pid of the one worker that is asked for.
    """
    by_pid = {process.pid: process for process in processes}
    found = []
    for process in by_pid.values():
        wanted = process.pid == only
        if only is None:
            parent = by_pid.get(process.ppid)
            wanted = _is_worker(process) and not (parent and _is_worker(parent))
        if wanted and (deployed := _deployed(process, by_pid)) is not None:
            found.append(deployed)
    return found


def variables_of(environ: Mapping[str, str]) -> dict[str, Given[str]]:
    """The variables of an environment that matter for a stop."""
    names = ("REMAP_SIGTERM", VARIABLE)
    return {name: Given(environ[name], NOWHERE) for name in names if environ.get(name)}


def _is_worker(process: Process) -> bool:
    starter = process.program in SHELLS or process.program in _PASSING
    return not starter and _parsed(process.argv).is_worker


def _parsed(argv: tuple[str, ...]) -> Command:
    """A command line; one that has a text for a shell in it is none of a worker itself."""
    try:
        return parse_words(argv)
    except (NoShellParser, UnreadableShell):
        return Command("")


def _deployed(worker: Process, by_pid: Mapping[int, Process]) -> Deployed | None:
    front, manager = _in_front(worker, by_pid)
    first = front[-1] if front else worker
    kind, odd = Manager.PROCESS, ""
    if manager is None:
        if first.ppid:  # of another user, and not visible
            return None
    elif manager.program in _PROCFILE:
        kind = Manager.PROCFILE
    elif manager.pid == 1 and manager.program not in _SYSTEM:
        odd = manager.program
    elif manager.program not in _SYSTEM:
        return None
    return Deployed(
        manager=kind,
        name=f"process {worker.pid}",
        place=NOWHERE,
        # honcho signals the whole group: the shell in between does no harm.
        command=_command(worker, front if kind is Manager.PROCESS else []),
        environment=variables_of(worker.environ),
        options={"first process": Given(odd, NOWHERE)} if odd else {},
    )


def _in_front(
    worker: Process, by_pid: Mapping[int, Process]
) -> tuple[list[Process], Process | None]:
    """What was given the worker's command, the nearest first; and the manager above."""
    front: list[Process] = []
    above = by_pid.get(worker.ppid)
    while above is not None and above.starts and above not in front:
        front.append(above)
        above = by_pid.get(above.ppid)
    return front, above


def _command(worker: Process, front: list[Process]) -> Command:
    own = _parsed(worker.argv)
    wrappers, shells = [], []
    for each in reversed(front):
        if each.program in SHELLS:
            # It is there: so it was not replaced by the worker.
            traps = any("trap " in word for word in each.argv)
            shells.append(Shell(each.program, last=False, traps=traps))
        else:
            options = takewhile(lambda word: word.startswith("-") and word != "--", each.argv[1:])
            wrappers.append(Wrapper(each.program, tuple(options)))
    return Command(
        own.text,
        words=own.words or ("celery", "worker"),
        wrappers=tuple(wrappers),
        shells=tuple(shells),
        options={k: v for k, v in own.options.items() if k in ("app", "pool", "queues")},
    )
