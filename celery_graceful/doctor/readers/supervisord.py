"""Configurations of supervisord."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from celery_graceful.doctor.command import Command
from celery_graceful.doctor.facts import Deployed, Given, Manager, Place
from celery_graceful.doctor.parse import as_written, workers_in_words
from celery_graceful.doctor.readers.ini import entries, sections
from celery_graceful.doctor.readers.outcome import Trouble
from celery_graceful.doctor.readers.script import commands_or_trouble, finder, place_of
from celery_graceful.doctor.readers.texts import environment_of, finite, signal_name
from celery_graceful.doctor.shell_words import Word

GRACE = 10.0
_PAIR = re.compile(r"\b(?P<name>\w+)\s*=\s*(?P<value>\"[^\"]*\"|'[^']*'|[^,\n]*)")


def is_supervisord(text: str) -> bool:
    """Whether a text has a section for a program."""
    return any(name.startswith(("program:", "supervisord")) for name in sections(text))


def read_supervisord(text: str, file: str) -> Iterator[Deployed | Trouble]:
    """The workers among the programs."""
    programs: dict[str, dict[str, Given[str]]] = {}
    for line in entries(text, file, backslash=False):
        value = re.split(r"\s;", line.value, maxsplit=1)[0].strip()
        programs.setdefault(line.section, {})[line.key] = Given(value, line.place)
    for section, options in programs.items():
        if section.startswith("program:") and "command" in options:
            yield from _workers(section.removeprefix("program:"), options)


def _workers(name: str, options: dict[str, Given[str]]) -> Iterator[Deployed | Trouble]:
    written = options["command"]
    try:
        raw = shlex.split(written.value)
    except ValueError:
        return
    find = finder((), (Path(written.place.file).parent,))
    place = written.place
    words = [Word(word.replace("%%", "%"), place.line, place.file) for word in raw]

    def parse() -> list[Command]:
        found = workers_in_words(words, text=written.value, find=find)
        return as_written(found, raw) if words != raw else found

    for command in commands_or_trouble(parse, place):
        yield command if isinstance(command, Trouble) else _worker(name, options, command)


def _worker(name: str, options: dict[str, Given[str]], command: Command) -> Deployed:
    written, signal = options["command"], options.get("stopsignal")
    return Deployed(
        manager=Manager.SUPERVISORD,
        name=f"program {name}",
        place=place_of(command, written.place),
        command=command,
        grace=_number(options, "stopwaitsecs", GRACE, written.place),
        grace_setting="stopwaitsecs",
        grace_form="stopwaitsecs={seconds}",
        stop_signal=Given(signal_name(signal.value), signal.place) if signal else None,
        stop_form="stopsignal=TERM",
        environment=environment_of(_environment(options), command, written.place),
        copies=_copies(options, written.place),
        options=options,
    )


def _number(
    options: dict[str, Given[str]], key: str, default: float, place: Place
) -> Given[float] | None:
    found = options.get(key)
    if found is None:
        return Given(default, place, written=False)
    value = finite(found.value)  # or %(ENV_GRACE)s
    return None if value is None else Given(value, found.place)


def _copies(options: dict[str, Given[str]], place: Place) -> Given[int] | None:
    number = _number(options, "numprocs", 1, place)
    return None if number is None else Given(int(number.value), number.place, number.written)


def _environment(options: dict[str, Given[str]]) -> dict[str, Given[str]]:
    found = options.get("environment")
    if found is None:
        return {}
    return {
        match["name"]: Given(match["value"].strip().strip("\"'"), found.place)
        for match in _PAIR.finditer(found.value)
    }
