"""Procfiles, for honcho, foreman and Heroku, with the ``.env`` beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from celery_graceful.doctor.facts import Deployed, Given, Manager, Place
from celery_graceful.doctor.parse import workers_in_text
from celery_graceful.doctor.readers.outcome import Trouble
from celery_graceful.doctor.readers.script import commands_or_trouble, finder, place_of
from celery_graceful.doctor.readers.texts import environment_of, text_of, variables

#: As foreman and honcho have it; they pass over every other line.
_LINE = re.compile(r"^(?P<name>[A-Za-z0-9_-]+):\s*(?P<command>\S.*)$")


def is_procfile(text: str) -> bool:
    """Whether every line that says anything is ``name: command``."""
    lines = [line for line in text.split("\n") if line.strip() and not line.startswith("#")]
    return bool(lines) and all(_LINE.match(line) for line in lines)


def read_procfile(text: str, file: str) -> Iterator[Deployed | Trouble]:
    """The workers among the processes. How long they get to stop is not in the file."""
    # Of two lines with one name, the second holds.
    lines = {
        match["name"]: (match, Place(file, number))
        for number, line in enumerate(text.split("\n"), 1)
        if (match := _LINE.match(line)) is not None
    }
    for name, (match, place) in lines.items():
        yield from _workers(name, match["command"], place, Path(file))


def _workers(name: str, text: str, place: Place, procfile: Path) -> Iterator[Deployed | Trouble]:
    find = finder((), (procfile.parent,))
    for command in commands_or_trouble(
        lambda: workers_in_text(text, find=find, line=place.line, file=place.file), place
    ):
        if isinstance(command, Trouble):
            yield command
            continue
        yield Deployed(
            manager=Manager.PROCFILE,
            name=f"process {name}",
            place=place_of(command, place),
            command=command,
            environment=environment_of(_dot_env(procfile), command, place),
        )


def _dot_env(procfile: Path) -> dict[str, Given[str]]:
    path = procfile.with_name(".env")
    if not path.is_file():
        return {}
    lines = text_of(path).split("\n")
    return variables(enumerate(lines, 1), str(path))
