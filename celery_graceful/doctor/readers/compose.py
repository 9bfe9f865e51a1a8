"""docker-compose files."""

from __future__ import annotations

from collections.abc import Iterator
from os.path import normpath
from pathlib import Path

from celery_graceful.doctor.commands.search import commands_in_words
from celery_graceful.doctor.commands.shell_syntax import Word
from celery_graceful.doctor.commands.shell_text import Finder
from celery_graceful.doctor.commands.worker_command import Command
from celery_graceful.doctor.facts import Deployed, Given, Manager, read_duration
from celery_graceful.doctor.readers.compose_project import Project
from celery_graceful.doctor.readers.dockerfile import Image, images, last_of
from celery_graceful.doctor.readers.entry import Entry
from celery_graceful.doctor.readers.entry_scripts import Copied, finder
from celery_graceful.doctor.readers.project_images import project_finder
from celery_graceful.doctor.readers.texts import (
    env_file,
    filled_in,
    signal_name,
    split,
    text_of,
    values_of,
    variables,
)
from celery_graceful.doctor.readers.yaml_tree import Node

GRACE = 10.0
#: Of a folder; more than any project has.
_MOST_DOCKERFILES = 20
_OPTIONS = ("restart", "init", "tty", "container_name")


def read_compose(document: Node) -> Iterator[Entry]:
    """The services of a project."""
    project = Project(document, document.place.file)
    beside = _ImagesBeside(Path(document.place.file).parent)
    for name, service in project.services.items():
        yield _Service(service, project.variables, beside).entry(name)


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
        """What all of them copy, for an image that is built elsewhere."""
        for path in sorted(self.folder.glob("Dockerfile*"))[:_MOST_DOCKERFILES]:
            for image in self.of(path).values():
                yield from image.copied


class _Service:
    """One service, with what fills in its variables."""

    def __init__(self, service: Node, known: dict[str, str], beside: _ImagesBeside) -> None:
        self.service, self.known, self.beside = service, known, beside
        build = service.get("build")
        context = self.text(build) or self.text(build.get("context")) or "."
        self.context = Path(build.place.file).parent / context
        self.image = self._image(build) if build.given else Image()
        self.environment = self._environment()

    def text(self, node: Node) -> str:
        """A scalar, its variables filled in."""
        return filled_in(node.text, self.known)

    def entry(self, name: str) -> Entry:
        service, image = self.service, self.image
        started = (service.get("command"), service.get("entrypoint"))
        signal = service.get("stop_signal")
        options = {key: service.get(key) for key in _OPTIONS}
        worker = Deployed(
            Manager.COMPOSE,
            f"service {name}",
            # That of its command; of one that its image starts, the service's.
            next((node.place for node in started if node.given), service.place),
            grace=self._grace(),
            grace_setting="stop_grace_period",
            grace_form="stop_grace_period: {seconds}s",
            stop_signal=signal_name(Given(self.text(signal), signal.place))
            if signal.given
            else image.stop_signal,
            stop_form="stop_signal: SIGTERM",
            environment=self.environment,
            copies=_copies(service),
            many_hosts=service.get("deploy", "mode").text == "global",
            options={k: Given(self.text(v), v.place) for k, v in options.items() if v.given},
            volumes=(*image.volumes, *(target for _, target in self._volumes())),
        )
        return Entry(worker, self._commands)

    def _commands(self) -> list[Command]:
        entry, cmd = self.service.get("entrypoint"), self.service.get("command")
        folders, known = [self.context], values_of(self.environment)
        if not entry.given and (not cmd.given or self.image.entrypoint is not None):
            own = tuple(self._words(cmd)) if cmd.given else None
            return self.image.commands(own, folders=folders, variables=known)
        words, written = (
            [word for node in (entry, cmd) for word in self._words(node, filled=filled)]
            for filled in (True, False)
        )
        built = self.service.get("build").given
        copied = (*self._mounted(), *(self.image.copied if built else self.beside.copied()))
        workdir = self.text(self.service.get("working_dir")) or self.image.workdir
        find = finder(copied, folders, workdir)
        if not built:
            find = _first_of(find, project_finder(self.service.place.file))
        return commands_in_words(words, written=written, find=find, variables=known)

    def _words(self, node: Node, *, filled: bool = True) -> list[Word]:
        """A list, or a text, which compose splits into words without a shell."""

        def text(each: Node) -> str:
            return self.text(each) if filled else each.text

        file = node.place.file
        if node.each():
            return [Word(text(each), each.text_line, file) for each in node.each()]
        line = node.text_line or node.place.line
        return [Word(word, line, file) for word in split(text(node))]

    def _image(self, build: Node) -> Image:
        """What the service's own Dockerfile says, if it is there."""
        stages = self.beside.of(self.context / (self.text(build.get("dockerfile")) or "Dockerfile"))
        return stages.get(self.text(build.get("target"))) or last_of(stages)

    def _grace(self) -> Given[float] | None:
        node = self.service.get("stop_grace_period")
        if not node.given:
            return Given(GRACE, self.service.place, written=False)
        seconds = read_duration(self.text(node))
        return None if seconds is None else Given(seconds, node.place)

    def _environment(self) -> dict[str, Given[str]]:
        given = dict(self.image.environment)
        files = self.service.get("env_file")
        for node in (files, *files.each(), *(each.get("path") for each in files.each())):
            if node.text:
                given.update(env_file(Path(node.place.file).parent / self.text(node)))
        environment = self.service.get("environment")
        for name, value in environment.items():
            given[name] = Given(self.text(value), value.place)
        for each in environment.each():
            given.update(variables([(each.place.line, self.text(each))], each.place.file))
        return given

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


def _first_of(nearest: Finder, others: Finder) -> Finder:
    return lambda word: nearest(word) or others(word)


def _copies(service: Node) -> Given[int] | None:
    for path in (("deploy", "replicas"), ("scale",)):
        number = service.get(*path).number()
        if number is not None:
            return Given(int(number.value), number.place)
    mode = service.get("deploy", "mode")
    return Given(2, mode.place, written=False) if mode.text == "global" else None
