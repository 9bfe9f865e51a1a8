"""What stands between a running worker and the first process, as the checks of files see it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from celery_graceful.doctor.command import Command, Shell, Wrapper
from celery_graceful.doctor.facts import Deployed, Given, Manager, Place
from celery_graceful.doctor.parse import parse_words
from celery_graceful.doctor.shell import SHELLS, NoShellParser, UnreadableShell
from celery_graceful.grace.surroundings import VARIABLE

#: Programs that start the next one, and stay in front of it.
_INITS = frozenset({"tini", "tini-static", "docker-init", "catatonit", "dumb-init"})
_PASSING = _INITS | {"su", "sudo", "conda", "timeout", "runuser"}
_PROCFILE = frozenset({"honcho", "foreman", "goreman", "overmind", "hivemind"})
#: First processes that stop what they have started, and are no part of a container's command.
_SYSTEM = frozenset({"systemd", "init", "launchd", "supervisord", "s6-svscan", "runit", "runsvdir"})
_INTERPRETERS = ("python", "pypy", "ruby", "perl", "node")
_NOWHERE = Place("")


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
        name = _base(self.argv[0]) if self.argv else ""
        if name.startswith(_INTERPRETERS):
            scripts = [word for word in self.argv[1:] if not word.startswith("-")]
            name = _base(scripts[0]) if scripts else name
        return name.lstrip("-")

    @property
    def starts(self) -> bool:
        """Whether it is a shell or another program that has been told what to start."""
        if self.program in SHELLS:
            return len(self.argv) > 1 and not self.argv[-1].startswith("-")
        return self.program in _PASSING


def workers_in(processes: Iterable[Process], only: int | None = None) -> list[Deployed]:
    """The workers among some processes, each with what stands in front of it.

    A worker that somebody started at a terminal is left out: there is nothing that deploys it.

    Args:
        processes: all that can be seen.
        only: the pid of the one worker that is asked for.
    """
    by_pid = {process.pid: process for process in processes}
    found = []
    for process in by_pid.values():
        if only is None:
            wanted = _is_worker(process) and not _is_child(process, by_pid)
        else:
            wanted = process.pid == only
        if wanted and (deployed := _deployed(process, by_pid)) is not None:
            found.append(deployed)
    return found


def variables_of(environ: Mapping[str, str]) -> dict[str, Given[str]]:
    """What an environment tells a worker of its stop."""
    names = ("REMAP_SIGTERM", VARIABLE)
    return {name: Given(environ[name], _NOWHERE) for name in names if environ.get(name)}


def _is_worker(process: Process) -> bool:
    starter = process.program in SHELLS or process.program in _PASSING
    return not starter and _parsed(process.argv).is_worker


def _parsed(argv: tuple[str, ...]) -> Command:
    """A command line; one that has a text for a shell in it is none of a worker itself."""
    try:
        return parse_words(argv)
    except (NoShellParser, UnreadableShell):
        return Command("")


def _is_child(process: Process, by_pid: Mapping[int, Process]) -> bool:
    parent = by_pid.get(process.ppid)
    return parent is not None and _is_worker(parent)


def _deployed(worker: Process, by_pid: Mapping[int, Process]) -> Deployed | None:
    front, manager = _in_front(worker, by_pid)
    first = front[-1] if front else worker
    kind, odd = Manager.PROCESS, ""
    if manager is None:
        if first.ppid:  # somebody else's, and not to be seen
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
        place=_NOWHERE,
        # honcho signals the whole group: the shell in between does no harm.
        command=_command(worker, front if kind is Manager.PROCESS else []),
        environment=variables_of(worker.environ),
        options={"first process": Given(odd, _NOWHERE)} if odd else {},
    )


def _in_front(
    worker: Process, by_pid: Mapping[int, Process]
) -> tuple[list[Process], Process | None]:
    """What was told to start the worker, the nearest first; and who told it."""
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
            wrappers.append(Wrapper(each.program, tuple(_options(each.argv[1:]))))
    return Command(
        own.text,
        words=own.words or ("celery", "worker"),
        wrappers=tuple(wrappers),
        shells=tuple(shells),
        options={
            name: value for name, value in own.options.items() if name in ("app", "pool", "queues")
        },
    )


def _options(words: Iterable[str]) -> Iterator[str]:
    for word in words:
        if not word.startswith("-") or word == "--":
            return
        yield word


def _base(word: str) -> str:
    return word.rpartition("/")[2].rstrip(":")
