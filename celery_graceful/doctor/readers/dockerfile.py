"""Dockerfiles."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from celery_graceful.doctor.command import Command
from celery_graceful.doctor.facts import Deployed, Given, Manager, Place
from celery_graceful.doctor.parse import parse_shell, parse_words
from celery_graceful.doctor.readers.texts import environment_of, signal_name

__all__ = ["Image", "images", "is_dockerfile", "read_dockerfile"]

_FROM = re.compile(r"(?im)^[ \t]*FROM[ \t]+\S+")
_STAGE = re.compile(r"(?i)^(?:--\S+\s+)*(?P<base>\S+)(?:\s+AS\s+(?P<name>\S+))?")
_PAIR = re.compile(r"\b(\w+)=(\"[^\"]*\"|'[^']*'|\S*)")


@dataclass(frozen=True, slots=True)
class Line:
    """``ENTRYPOINT`` or ``CMD``: a list of words, or a text for the shell."""

    place: Place
    words: tuple[str, ...] | None
    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """What a stage leaves to its containers."""

    entrypoint: Line | None = None
    cmd: Line | None = None
    shell: str = "sh"
    stop_signal: Given[str] | None = None
    environment: dict[str, Given[str]] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()

    def command(self, cmd: tuple[str, ...] | None = None) -> tuple[Command, Place] | None:
        """What a container runs, with ``cmd`` in place of the image's; ``None``: nothing."""
        entry, own = self.entrypoint, self.cmd
        if entry is not None and entry.words is None:
            return parse_shell(entry.text, shell=self.shell), entry.place
        before = entry.words or () if entry is not None else ()
        if cmd is not None:
            return parse_words((*before, *cmd)), entry.place if entry else Place("")
        if own is None:
            return (parse_words(before), entry.place) if entry is not None else None
        if own.words is not None:
            return parse_words((*before, *own.words)), own.place
        if entry is None:
            return parse_shell(own.text, shell=self.shell), own.place
        return parse_words((*before, "/bin/sh", "-c", own.text)), own.place


def is_dockerfile(text: str) -> bool:
    """Whether a text looks like a Dockerfile."""
    return bool(_FROM.search(text)) and bool(
        re.search(r"(?im)^[ \t]*(CMD|ENTRYPOINT|RUN|COPY)\b", text)
    )


def read_dockerfile(text: str, file: str) -> Iterator[Deployed]:
    """The worker that the last stage starts by itself."""
    stages = images(text, file)
    image = list(stages.values())[-1] if stages else Image()
    found = image.command()
    if found is None or not found[0].is_worker:
        return
    command, place = found
    yield Deployed(
        manager=Manager.DOCKER,
        name="the image's command",
        place=place,
        command=command,
        stop_signal=image.stop_signal,
        stop_form="STOPSIGNAL SIGTERM",
        environment=environment_of(image.environment, command, place),
        volumes=image.volumes,
    )


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
        return replace(image, entrypoint=_line(rest, place), cmd=None)
    if word == "CMD":
        return replace(image, cmd=_line(rest, place))
    if word == "STOPSIGNAL":
        return replace(image, stop_signal=Given(signal_name(rest), place))
    if word == "SHELL":
        words = _line(rest, place).words
        return replace(image, shell=words[0].rpartition("/")[2]) if words else image
    if word == "ENV":
        pairs = _PAIR.findall(rest) or [tuple(rest.split(None, 1))]
        given = {p[0]: Given(p[1].strip("\"'"), place) for p in pairs if len(p) == 2}
        return replace(image, environment={**image.environment, **given})
    if word == "VOLUME":
        line = _line(rest, place)
        return replace(image, volumes=(*image.volumes, *(line.words or rest.split())))
    return image


def _line(rest: str, place: Place) -> Line:
    if rest.startswith("["):
        try:
            return Line(place, tuple(str(word) for word in json.loads(rest)), rest)
        except ValueError:
            pass  # Docker, too, takes it for a text then
    return Line(place, None, rest)


def _instructions(text: str) -> Iterator[tuple[int, str, str]]:
    """Line number, instruction and the rest, with continued lines joined."""
    begun, parts = 0, [""]
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or (not line.strip() and not begun):
            continue
        begun = begun or number
        parts.append(line.rstrip().removesuffix("\\").strip())
        if line.rstrip().endswith("\\"):
            continue
        word, _, rest = " ".join(filter(None, parts)).partition(" ")
        yield begun, word.upper(), rest.strip()
        begun, parts = 0, [""]
