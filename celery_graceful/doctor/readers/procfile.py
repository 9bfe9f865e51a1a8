"""Procfiles, for honcho, foreman and Heroku, with the ``.env`` beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from celery_graceful.doctor.facts import Deployed, Given, Manager, Place
from celery_graceful.doctor.parse import parse_shell
from celery_graceful.doctor.readers.texts import environment_of, text_of, variables

__all__ = ["is_procfile", "read_procfile"]

_LINE = re.compile(r"^(?P<name>[A-Za-z][\w-]*):\s*(?P<command>\S.*)$")


def is_procfile(text: str) -> bool:
    """Whether every line that says anything is ``name: command``."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return bool(lines) and all(_LINE.match(line) for line in lines)


def read_procfile(text: str, file: str) -> Iterator[Deployed]:
    """The workers among the processes. How long they get to stop is not in the file."""
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.match(line)
        if match is None:
            continue
        command = parse_shell(match["command"])
        if not command.is_worker:
            continue
        place = Place(file, number)
        # These managers signal the shell's whole group: that a shell stays does not matter.
        command = replace(command, shells=())
        yield Deployed(
            manager=Manager.PROCFILE,
            name=f"process {match['name']}",
            place=place,
            command=command,
            environment=environment_of(_dot_env(Path(file)), command, place),
        )


def _dot_env(procfile: Path) -> dict[str, Given[str]]:
    path = procfile.with_name(".env")
    if not path.is_file():
        return {}
    lines = text_of(path).splitlines()
    return variables(enumerate(lines, 1), str(path))
