"""Dockerfiles."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from posixpath import join

from celery_graceful.doctor.command import Command
from celery_graceful.doctor.facts import Deployed, Given, Manager, Place
from celery_graceful.doctor.parse import workers_in_text, workers_in_words
from celery_graceful.doctor.readers.outcome import Trouble
from celery_graceful.doctor.readers.script import Copied, commands_or_trouble, finder, place_of
from celery_graceful.doctor.readers.texts import environment_of, signal_name

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
    def shell_program(self) -> str:
        """The shell of the shell forms."""
        return self.shell[0].rpartition("/")[2]

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
        known = {name: given.value for name, given in self.environment.items() if given.value}
        variables = known if variables is None else variables
        find = finder(self.copied, folders, self.workdir)
        entry, own = self.entrypoint, self.cmd
        line = entry if entry is not None and entry.words is None else None
        if entry is None and cmd is None and own is not None and own.words is None:
            line = own
        if line is not None:
            return workers_in_text(
                line.text,
                shell=self.shell_program,
                find=find,
                line=line.place.line,
                file=line.place.file,
                variables=variables,
            )
        before = (entry.words or ()) if entry is not None else ()
        if cmd is None and own is not None:
            cmd = own.words if own.words is not None else (*self.shell, own.text)
        words = (*before, *(cmd or ()))
        at = self.starting.place if self.starting else Place("")
        return workers_in_words(
            words,
            find=find,
            lines=[at.line] * len(words),
            file=at.file,
            variables=variables,
            otherwise=bool(words),
        )


def is_dockerfile(text: str) -> bool:
    """Whether a text looks like a Dockerfile."""
    lines = (line.strip() for line in text.split("\n"))
    first = next((line for line in lines if line and not line.startswith("#")), "")
    return bool(_FROM.search(text)) and _FIRST.match(first) is not None


def read_dockerfile(text: str, file: str) -> Iterator[Deployed | Trouble]:
    """The workers that the last stage starts by itself."""
    stages = images(text, file)
    image = list(stages.values())[-1] if stages else Image()
    line = image.starting
    if line is None:
        return
    place = line.place
    folders = _folders_of(file)
    for command in commands_or_trouble(lambda: image.commands(folders=folders), place):
        if isinstance(command, Trouble):
            yield command
            continue
        yield Deployed(
            manager=Manager.DOCKER,
            name="the image's command",
            place=place_of(command, place),
            command=command,
            start_form=line.instruction,
            start_text=line.text if line.words is None else "",
            stop_signal=image.stop_signal,
            stop_form="STOPSIGNAL SIGTERM",
            environment=environment_of(image.environment, command, place),
            volumes=image.volumes,
        )


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
        place = Place(file, number)
        if word == "FROM":
            match = _STAGE.match(rest)
            base, called = (match["base"], match["name"]) if match else ("", None)
            name, image = called or str(len(stages)), stages.get(base, Image())
        elif name:
            image = _with(image, word, rest, place)
        if name:
            stages[name] = image
    return stages


def _with(image: Image, word: str, rest: str, place: Place) -> Image:
    if word == "ENTRYPOINT":
        return replace(image, entrypoint=_line(word, rest, place), cmd=None)
    if word == "CMD":
        return replace(image, cmd=_line(word, rest, place))
    if word == "STOPSIGNAL":
        return replace(image, stop_signal=Given(signal_name(rest), place))
    if word == "SHELL":
        words = _line(word, rest, place).words
        return replace(image, shell=words) if words else image
    if word == "ENV":
        pairs = _PAIR.findall(rest) or [tuple(rest.split(None, 1))]
        given = {p[0]: Given(p[1].strip("\"'"), place) for p in pairs if len(p) == 2}
        return replace(image, environment={**image.environment, **given})
    if word == "VOLUME":
        line = _line(word, rest, place)
        return replace(image, volumes=(*image.volumes, *(line.words or rest.split())))
    if word == "WORKDIR":
        return replace(image, workdir=join(image.workdir, rest.strip("\"'")))
    if word in ("COPY", "ADD"):
        return replace(image, copied=(*_copied(rest, image, place), *image.copied))
    return image


def _copied(rest: str, image: Image, place: Place) -> Iterator[Copied]:
    words = [word for word in rest.split() if word != "\\"]
    if any(word.startswith("--from=") for word in words):
        return
    while words and words[0].startswith("--"):
        words = words[1:]
    line = _line("COPY", " ".join(words), place)
    *sources, target = line.words or words or ("",)
    for source in sources:
        yield Copied(source.removeprefix("./") or ".", target, image.workdir)


def _line(instruction: str, rest: str, place: Place) -> Line:
    if rest.startswith("["):
        try:
            words = json.loads(rest.replace("\\\n", " "))
            return Line(place, tuple(str(word) for word in words), rest, instruction)
        except (ValueError, RecursionError):
            pass  # Docker, too, takes it for a text then
    return Line(place, None, rest, instruction)


def _instructions(text: str) -> Iterator[tuple[int, str, str]]:
    """Line number, instruction and the rest, in which continued lines stay lines."""
    begun, parts = 0, [""]
    for number, line in enumerate(text.split("\n"), 1):
        comment = line.lstrip().startswith("#")
        if (comment or not line.strip()) and not begun:
            continue
        begun = begun or number
        goes_on = comment or not line.strip() or line.rstrip().endswith("\\")
        parts.append("" if comment else line.rstrip().removesuffix("\\").strip())
        if not goes_on:
            yield from _instruction(begun, parts[1:])
            begun, parts = 0, [""]
    if begun:
        yield from _instruction(begun, parts[1:])


def _instruction(begun: int, parts: list[str]) -> Iterator[tuple[int, str, str]]:
    word, _, rest = " \\\n".join(parts).partition(" ")
    yield begun, word.upper(), rest.strip()
