"""docker-compose files."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from os.path import normpath
from pathlib import Path

from celery_graceful.doctor.command import Command
from celery_graceful.doctor.facts import Deployed, Given, Manager, Place
from celery_graceful.doctor.parse import parse_words
from celery_graceful.doctor.readers.dockerfile import Image, images
from celery_graceful.doctor.readers.script import script_behind
from celery_graceful.doctor.readers.texts import (
    environment_of,
    filled_in,
    read_duration,
    signal_name,
    text_of,
    variables,
)
from celery_graceful.doctor.readers.yaml_tree import Node

__all__ = ["is_compose", "read_compose"]

GRACE = 10.0
_OPTIONS = ("restart", "init", "tty", "container_name")
_OF_SERVICES = {"image", "build", "command", "extends", "entrypoint", "environment"}


def is_compose(document: Node) -> bool:
    """Whether a YAML document describes services."""
    services = document.get("services").items()
    return any(_OF_SERVICES & {key for key, _ in service.items()} for _, service in services)


def read_compose(document: Node) -> Iterator[Deployed]:
    """The workers among the services."""
    for name, service in document.get("services").items():
        worker = _worker(name, service)
        if worker is not None:
            yield worker


def _worker(name: str, service: Node) -> Deployed | None:
    image = _image(service)
    found = _command(service, image)
    if found is None or not (found[0].is_worker or found[0].supervises):
        return None
    command, place = found
    signal = service.get("stop_signal")
    copies = _copies(service)
    return Deployed(
        manager=Manager.COMPOSE,
        name=f"service {name}",
        place=place,
        command=command,
        grace=_grace(service),
        grace_setting="stop_grace_period",
        grace_form="stop_grace_period: {seconds}s",
        stop_signal=Given(signal_name(signal.text), signal.place)
        if signal.given
        else image.stop_signal,
        stop_form="stop_signal: SIGTERM",
        environment=environment_of(_environment(service, image), command, place),
        copies=copies,
        many_hosts=service.get("deploy", "mode").text == "global",
        options={
            k: Given(service.get(k).text, service.get(k).place)
            for k in _OPTIONS
            if service.get(k).given
        },
        volumes=(*image.volumes, *_volumes(service)),
    )


def _command(service: Node, image: Image) -> tuple[Command, Place] | None:
    found = _direct(service, image)
    words = (*_words(service.get("entrypoint")), *_words(service.get("command")))
    if found is None or found[0].is_worker or not words:
        return found
    return script_behind(words, _context(service)) or found


def _direct(service: Node, image: Image) -> tuple[Command, Place] | None:
    entry, cmd = service.get("entrypoint"), service.get("command")
    if entry.given:
        return parse_words((*_words(entry), *_words(cmd))), (cmd if cmd.given else entry).place
    if cmd.given:
        found = image.command(_words(cmd))
        return (found[0], cmd.place) if found else (parse_words(_words(cmd)), cmd.place)
    return image.command()


def _words(node: Node) -> tuple[str, ...]:
    """A list, or a text, which compose splits into words without a shell."""
    if node.each():
        return tuple(filled_in(each.text) for each in node.each())
    try:
        return tuple(shlex.split(filled_in(node.text)))
    except ValueError:
        return ()


def _image(service: Node) -> Image:
    """What the service's own Dockerfile says, if it is there."""
    build = service.get("build")
    if not build.given:
        return Image()
    path = _context(service) / (build.get("dockerfile").text or "Dockerfile")
    if not path.is_file():
        return Image()
    stages = images(text_of(path), normpath(path))
    target = build.get("target").text
    return stages.get(target) or (list(stages.values())[-1] if stages else Image())


def _context(service: Node) -> Path:
    build = service.get("build")
    return Path(service.place.file).parent / (build.text or build.get("context").text or ".")


def _grace(service: Node) -> Given[float] | None:
    node = service.get("stop_grace_period")
    if not node.given:
        return Given(GRACE, service.place, written=False)
    seconds = read_duration(filled_in(node.text))
    return None if seconds is None else Given(seconds, node.place)


def _environment(service: Node, image: Image) -> dict[str, Given[str]]:
    given = dict(image.environment)
    for path in _env_files(service):
        if path.is_file():
            lines = text_of(path).splitlines()
            given.update(variables(enumerate(lines, 1), str(path)))
    node = service.get("environment")
    for name, value in node.items():
        given[name] = Given(filled_in(value.text), value.place)
    for each in node.each():
        given.update(variables([(each.place.line, filled_in(each.text))], each.place.file))
    return given


def _env_files(service: Node) -> list[Path]:
    node = service.get("env_file")
    folder = Path(service.place.file).parent
    names = [node.text, *(each.text or each.get("path").text for each in node.each())]
    return [folder / name for name in names if name]


def _copies(service: Node) -> Given[int] | None:
    for path in (("deploy", "replicas"), ("scale",)):
        number = service.get(*path).number()
        if number is not None:
            return Given(int(number.value), number.place)
    if service.get("deploy", "mode").text == "global":
        return Given(2, service.get("deploy", "mode").place, written=False)
    return None


def _volumes(service: Node) -> tuple[str, ...]:
    found = []
    for each in service.get("volumes").each():
        parts = each.text.split(":")
        found.append(each.get("target").text or (parts[1] if len(parts) > 1 else parts[0]))
    return tuple(found)
