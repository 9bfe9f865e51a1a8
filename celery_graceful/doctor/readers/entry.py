"""What readers find: entries of a file that start something, and what cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from celery_graceful.doctor.commands.shell_syntax import INSTALL, NoShellParser, UnreadableShell
from celery_graceful.doctor.commands.worker_command import Command
from celery_graceful.doctor.facts import Deployed, Given, Place


class Trouble(Exception):
    """A file, or a part of it, cannot be read: where, why, and what to do."""

    def __init__(self, place: Place, what: str, fix: str) -> None:
        super().__init__(what)
        self.place, self.what, self.fix = place, what, fix


class MissingPackage(Trouble):
    """A package that reading this needs is not installed: no fault of the file."""

    def __init__(self, place: Place, package: str, what: str) -> None:
        super().__init__(place, f"{what} was not examined: {package} is not installed", INSTALL)


class NoWorker(Trouble):
    """A file or folder that can be read, but has no worker in it."""

    def __init__(self, file: str) -> None:
        super().__init__(
            Place(file),
            "no Celery worker was recognised in it",
            "name the file that has the worker's command line: celery -A … worker",
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """The workers of a file, and what of it could not be read."""

    file: str
    workers: tuple[Deployed, ...] = ()
    #: Containers that run supervisord, whose workers are in a file of its own.
    supervisors: tuple[Deployed, ...] = ()
    troubles: tuple[Trouble, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A service, a container, a program, a process, a unit or a script."""

    #: The worker as the entry deploys it, without a command yet.
    worker: Deployed
    #: Parses what it starts.
    commands: Callable[[], list[Command]]

    def workers(self) -> Iterator[Deployed | Trouble]:
        """The workers and supervisors that it starts, or why its command cannot be read."""
        place = self.worker.place
        try:
            found = self.commands()
        except NoShellParser:
            yield MissingPackage(place, "tree-sitter-bash", "this shell command")
            return
        except UnreadableShell:
            what = "the shell command is larger than any that starts a worker, and was not read"
            fix = "name the part of it that starts workers, as a script of its own"
            yield Trouble(place, what, fix)
            return
        for command in found:
            if command.is_worker or (command.supervises and self.worker.manager.container):
                yield self._with(command)

    def _with(self, command: Command) -> Deployed:
        """The worker with its command, and what that sets, where its words are written."""
        entry = self.worker.place
        inside = command.line and command.file == entry.file
        place = Place(entry.file, command.line) if inside else entry
        own = {name: Given(value, place) for name, value in command.environment.items()}
        environment = {**self.worker.environment, **own}
        return replace(self.worker, command=command, place=place, environment=environment)
