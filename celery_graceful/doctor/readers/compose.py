"""docker-compose files."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from os.path import normpath
from pathlib import Path

from celery_graceful.doctor.command import Command
from celery_graceful.doctor.facts import Deployed, Given, Manager, Place
from celery_graceful.doctor.parse import as_written, workers_in_words
from celery_graceful.doctor.readers.compose_model import Project
from celery_graceful.doctor.readers.dockerfile import Image, images
from celery_graceful.doctor.readers.outcome import Trouble
from celery_graceful.doctor.readers.script import Copied, commands_or_trouble, finder, place_of
from celery_graceful.doctor.readers.texts import (
    environment_of,
    filled_in,
    read_duration,
    signal_name,
    text_of,
    variables,
)
from celery_graceful.doctor.readers.yaml_tree import Node
from celery_graceful.doctor.shell_words import Word

GRACE = 10.0
#: Of a folder; more than any project has.
_MOST_DOCKERFILES = 20
_OPTIONS = ("restart", "init", "tty", "container_name")


def read_compose(document: Node) -> Iterator[Deployed | Trouble]:
    """The workers among the services."""
    project = Project(document, document.place.file)
    images_beside = _ImagesBeside(Path(document.place.file).parent)
    for name, service in project.services.items():
        yield from _Service(name, service, project, images_beside).workers()


class _ImagesBeside:
    """The Dockerfiles beside a compose file, read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[Path, dict[str, Image]] = {}

    def of(self, path: Path) -> dict[str, Image]:
        """The stages of one of them; none, if it is not there."""
        if path not in self._read:
            self._read[path] = images(text_of(path), normpath(path)) if path.is_file() else {}
        return self._read[path]

    def copied(self) -> Iterator[Copied]:
        """What all of them copy, for an image that is built by somebody else."""
        paths = sorted(self.folder.glob("Dockerfile*")) if self.folder.is_dir() else []
        for path in paths[:_MOST_DOCKERFILES]:
            for image in self.of(path).values():
                yield from image.copied


class _Service:
    """One service, with what fills in its variables."""

    def __init__(self, name: str, service: Node, project: Project, beside: _ImagesBeside) -> None:
        self.name, self.service, self.known = name, service, project.variables
        self.beside = beside
        self.image = self._image()

    def text(self, node: Node) -> str:
        """A scalar, its variables filled in."""
        return filled_in(node.text, self.known)

    def workers(self) -> Iterator[Deployed | Trouble]:
        """What the service starts."""
        place = self._place()
        for command in commands_or_trouble(self._commands, place):
            if isinstance(command, Trouble):
                yield command
            elif command.is_worker or command.supervises:
                yield self._worker(command, place_of(command, place))

    def _place(self) -> Place:
        """Where its command stands; of one that its image starts, the service."""
        entry, cmd = self.service.get("entrypoint"), self.service.get("command")
        return next((node.place for node in (cmd, entry) if node.given), self.service.place)

    def _commands(self) -> list[Command]:
        entry, cmd = self.service.get("entrypoint"), self.service.get("command")
        folders = [self._context()]
        known = {name: given.value for name, given in self._environment().items() if given.value}
        if not entry.given and not cmd.given:
            return self.image.commands(folders=folders, variables=known)
        if not entry.given and self.image.entrypoint is not None:
            own = tuple(Word(word, line, cmd.place.file) for word, line in self._words(cmd))
            return self.image.commands(own, folders=folders, variables=known)
        words, raw = (
            [
                Word(word, line, node.place.file)
                for node in (entry, cmd)
                for word, line in self._words(node, filled=filled)
            ]
            for filled in (True, False)
        )
        built = self.service.get("build").given
        copied = (*self._mounted(), *(self.image.copied if built else self.beside.copied()))
        find = finder(copied, folders, self._workdir())
        found = workers_in_words(words, find=find, variables=known, otherwise=bool(words))
        return as_written(found, raw) if words != raw else found

    def _words(self, node: Node, *, filled: bool = True) -> list[tuple[str, int]]:
        """A list, or a text, which compose splits into words without a shell."""
        if node.each():
            texts = ((self.text(each) if filled else each.text, each) for each in node.each())
            return [(text, each.text_line) for text, each in texts]
        try:
            words = shlex.split(self.text(node) if filled else node.text)
            return [(word, node.text_line or node.place.line) for word in words]
        except ValueError:
            return []

    def _worker(self, command: Command, place: Place) -> Deployed:
        service, image = self.service, self.image
        signal = service.get("stop_signal")
        options = {key: service.get(key) for key in _OPTIONS}
        return Deployed(
            manager=Manager.COMPOSE,
            name=f"service {self.name}",
            place=place,
            command=command,
            grace=self._grace(),
            grace_setting="stop_grace_period",
            grace_form="stop_grace_period: {seconds}s",
            stop_signal=Given(signal_name(self.text(signal)), signal.place)
            if signal.given
            else image.stop_signal,
            stop_form="stop_signal: SIGTERM",
            environment=environment_of(self._environment(), command, place),
            copies=_copies(service),
            many_hosts=service.get("deploy", "mode").text == "global",
            options={k: Given(self.text(v), v.place) for k, v in options.items() if v.given},
            volumes=(*image.volumes, *(target for _, target in self._volumes())),
        )

    def _image(self) -> Image:
        """What the service's own Dockerfile says, if it is there."""
        build = self.service.get("build")
        if not build.given:
            return Image()
        path = self._context() / (self.text(build.get("dockerfile")) or "Dockerfile")
        stages = self.beside.of(path)
        target = self.text(build.get("target"))
        return stages.get(target) or (list(stages.values())[-1] if stages else Image())

    def _context(self) -> Path:
        build = self.service.get("build")
        context = self.text(build) or self.text(build.get("context")) or "."
        return Path(build.place.file).parent / context

    def _workdir(self) -> str:
        return self.text(self.service.get("working_dir")) or self.image.workdir

    def _grace(self) -> Given[float] | None:
        node = self.service.get("stop_grace_period")
        if not node.given:
            return Given(GRACE, self.service.place, written=False)
        seconds = read_duration(self.text(node))
        return None if seconds is None else Given(seconds, node.place)

    def _environment(self) -> dict[str, Given[str]]:
        given = dict(self.image.environment)
        for path in self._env_files():
            if path.is_file():
                lines = text_of(path).split("\n")
                given.update(variables(enumerate(lines, 1), str(path)))
        node = self.service.get("environment")
        for name, value in node.items():
            given[name] = Given(self.text(value), value.place)
        for each in node.each():
            given.update(variables([(each.place.line, self.text(each))], each.place.file))
        return given

    def _env_files(self) -> list[Path]:
        node = self.service.get("env_file")
        nodes = [node, *node.each(), *(each.get("path") for each in node.each())]
        return [Path(n.place.file).parent / self.text(n) for n in nodes if n.text]

    def _volumes(self) -> Iterator[tuple[str, str]]:
        for each in self.service.get("volumes").each():
            source, _, target = self.text(each).partition(":")
            source = self.text(each.get("source")) or source
            yield source, self.text(each.get("target")) or target.partition(":")[0] or source

    def _mounted(self) -> Iterator[Copied]:
        """Folders of the project that are in the container without being copied."""
        for source, target in self._volumes():
            if source.startswith(".") and target:
                yield Copied(source.removeprefix("./") or ".", target)


def _copies(service: Node) -> Given[int] | None:
    for path in (("deploy", "replicas"), ("scale",)):
        number = service.get(*path).number()
        if number is not None:
            return Given(int(number.value), number.place)
    if service.get("deploy", "mode").text == "global":
        return Given(2, service.get("deploy", "mode").place, written=False)
    return None
