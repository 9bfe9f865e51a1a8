"""Dockerfiles."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from posixpath import join

from celery_graceful.doctor.commands.search import commands_in_words
from celery_graceful.doctor.commands.shell_syntax import Word
from celery_graceful.doctor.commands.worker_command import Command
from celery_graceful.doctor.facts import NOWHERE, Deployed, Given, Manager, Place
from celery_graceful.doctor.readers.entry import Entry
from celery_graceful.doctor.readers.entry_scripts import Copied, finder
from celery_graceful.doctor.readers.texts import YAML, signal_name, values_of

_FROM = re.compile(r"(?im)^[ \t]*FROM[ \t]+\S+")
#: What may come first; a template may have a condition there.
_FIRST = re.compile(r"(?i)(?:FROM|ARG)\s|\{[{%]")
_STAGE = re.compile(r"(?i)^(?:--\S+\s+)*(?P<base>\S+)(?:\s+AS\s+(?P<name>\S+))?")
_PAIR = re.compile(r"\b(\w+)=(\"[^\"]*\"|'[^']*'|\S*)")
#: How many folders above a Dockerfile may be the one that its image is built from.
_FOLDERS_ABOVE = 4


@dataclass(frozen=True, slots=True)
class Line:
    """``ENTRYPOINT`` or ``CMD``: a list of words, or a text for the shell."""

    place: Place
    words: tuple[str, ...] | None
    text: str
    #: As one writes it.
    instruction: str = "CMD"


@dataclass(frozen=True, slots=True)
class Image:
    """What a stage leaves to its containers."""

    entrypoint: Line | None = None
    cmd: Line | None = None
    shell: tuple[str, ...] = ("/bin/sh", "-c")
    stop_signal: Given[str] | None = None
    environment: dict[str, Given[str]] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    workdir: str = "/"
    #: The last first.
    copied: tuple[Copied, ...] = ()

    @property
    def starting(self) -> Line | None:
        """The instruction whose command a container runs."""
        if self.entrypoint is not None and self.entrypoint.words is None:
            return self.entrypoint
        return self.cmd or self.entrypoint

    def commands(
        self,
        cmd: tuple[str, ...] | None = None,
        *,
        folders: Iterable[Path] = (),
        variables: Mapping[str, str] | None = None,
    ) -> list[Command]:
        """What a container runs; a command that is no worker is there, too.

        Args:
            cmd: in place of the image's own.
            folders: where the image may be built from.
            variables: its environment; by default what the image sets.
        """
        variables = values_of(self.environment) if variables is None else variables
        find = finder(self.copied, folders, self.workdir)
        entry, own, text = self.entrypoint, self.cmd, ""
        if cmd is None and own is not None:
            cmd = self._argv(own)
            text = own.text if own.words is None and entry is None else ""
        argv = (*(self._argv(entry) if entry else ()), *(cmd or ()))
        if entry is not None and entry.words is None:  # the shell form takes no arguments
            argv, text = self._argv(entry), entry.text
        at = self.starting.place if self.starting else NOWHERE
        words = [Word(word, at.line, at.file) for word in argv]
        return commands_in_words(words, text=text, find=find, variables=variables)

    def _argv(self, line: Line) -> tuple[str, ...]:
        return line.words if line.words is not None else (*self.shell, line.text)


def is_dockerfile(text: str, file: str) -> bool:
    """Whether a text looks like a Dockerfile."""
    if file.endswith(YAML):
        return False
    lines = (line.strip() for line in text.split("\n"))
    first = next((line for line in lines if line and not line.startswith("#")), "")
    return bool(_FROM.search(text)) and _FIRST.match(first) is not None


def read_dockerfile(text: str, file: str) -> Iterator[Entry]:
    """What the last stage starts by itself."""
    image = last_of(images(text, file))
    line = image.starting
    if line is not None:
        worker = Deployed(
            Manager.DOCKER,
            "the image's command",
            line.place,
            start_form=line.instruction,
            start_text=line.text if line.words is None else "",
            stop_signal=image.stop_signal,
            stop_form="STOPSIGNAL SIGTERM",
            environment=image.environment,
            volumes=image.volumes,
        )
        yield Entry(worker, partial(image.commands, folders=_folders_of(file)))


def _folders_of(file: str) -> list[Path]:
    """From where an image may be built, the nearest first."""
    folder = Path(file).parent
    found = [folder]
    for above in folder.absolute().parents[:_FOLDERS_ABOVE]:
        if (found[-1] / ".git").exists():
            break
        found.append(above)
    return found


def images(text: str, file: str) -> dict[str, Image]:
    """What each stage is in the end, by its name or number."""
    stages: dict[str, Image] = {}
    name, image = "", Image()
    for number, word, rest in _instructions(text):
        if word == "FROM":
            match = _STAGE.match(rest)
            base, called = (match["base"], match["name"]) if match else ("", None)
            name, image = called or str(len(stages)), stages.get(base, Image())
        elif name:
            image = _with(image, _line(word, rest, Place(file, number)))
        if name:
            stages[name] = image
    return stages


def last_of(stages: Mapping[str, Image]) -> Image:
    """The stage that is built by default."""
    return list(stages.values())[-1] if stages else Image()


def _with(image: Image, line: Line) -> Image:
    """The image after one instruction."""
    word, rest = line.instruction, line.text
    if word == "ENTRYPOINT":
        return replace(image, entrypoint=line, cmd=None)
    if word == "CMD":
        return replace(image, cmd=line)
    if word == "STOPSIGNAL":
        return replace(image, stop_signal=signal_name(Given(rest, line.place)))
    if word == "SHELL" and line.words:
        return replace(image, shell=line.words)
    if word == "ENV":
        pairs = _PAIR.findall(rest) or [tuple(rest.split(None, 1))]
        given = {p[0]: Given(p[1].strip("\"'"), line.place) for p in pairs if len(p) == 2}
        return replace(image, environment={**image.environment, **given})
    if word == "VOLUME":
        return replace(image, volumes=(*image.volumes, *(line.words or rest.split())))
    if word == "WORKDIR":
        return replace(image, workdir=join(image.workdir, rest.strip("\"'")))
    if word in ("COPY", "ADD"):
        return replace(image, copied=(*_copied(line, image.workdir), *image.copied))
    return image


def _copied(line: Line, workdir: str) -> Iterator[Copied]:
    words = [word for word in line.text.split() if word != "\\"]
    if any(word.startswith("--from=") for word in words):
        return
    while words and words[0].startswith("--"):
        words = words[1:]
    *sources, target = _line("COPY", " ".join(words), line.place).words or words or ("",)
    for source in sources:
        yield Copied(source.removeprefix("./") or ".", target, workdir)


def _line(instruction: str, rest: str, place: Place) -> Line:
    words = None
    if rest.startswith("["):
        with suppress(ValueError, RecursionError):  # Docker, too, takes it for a text then
            words = tuple(str(word) for word in json.loads(rest.replace("\\\n", " ")))
    return Line(place, words, rest, instruction)


def _instructions(text: str) -> Iterator[tuple[int, str, str]]:
    """Line number, instruction and the rest, in which continued lines stay lines."""
    begun, parts = 0, [""]
    for number, line in enumerate(text.split("\n"), 1):
        comment, bare = line.lstrip().startswith("#"), line.strip()
        if begun or (bare and not comment):
            begun = begun or number
            parts.append("" if comment else bare.removesuffix("\\").strip())
        continues = comment or not bare or bare.endswith("\\")
        if begun and not continues:
            yield _instruction(begun, parts[1:])
            begun, parts = 0, [""]
    if begun:
        yield _instruction(begun, parts[1:])


def _instruction(begun: int, parts: list[str]) -> tuple[int, str, str]:
    word, _, rest = " \\\n".join(parts).partition(" ")
    return begun, word.upper(), rest.strip()
