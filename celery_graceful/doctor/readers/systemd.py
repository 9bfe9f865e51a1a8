"""systemd units, with the drop-ins that lie beside them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from celery_graceful.doctor.command import Command
from celery_graceful.doctor.facts import Deployed, Given, Hook, Manager
from celery_graceful.doctor.parse import as_written, workers_in_words
from celery_graceful.doctor.readers.ini import Entry, entries, sections
from celery_graceful.doctor.readers.outcome import Trouble
from celery_graceful.doctor.readers.script import commands_or_trouble, finder, place_of
from celery_graceful.doctor.readers.texts import (
    environment_of,
    filled_in,
    signal_name,
    text_of,
    variables,
)
from celery_graceful.durations import parse

GRACE = 90.0
_UNITS = (("min", "m"), ("sec", "s"), ("hours", "h"), ("hour", "h"), ("hr", "h"))
#: Settings of the section ``[Service]``.
_OF_SERVICES = ("KillMode", "KillSignal", "TimeoutStopSec", "Restart", "ExecStop", "SendSIGKILL")
#: What may stand in front of a program.
_PREFIXES = "@-:+!|"


def is_unit(text: str) -> bool:
    """Whether a text is a unit or a drop-in for services."""
    return "Service" in sections(text)


def read_unit(text: str, file: str) -> Iterator[Deployed | Trouble]:
    """The workers that a unit starts, as its drop-ins change it."""
    lines = [*entries(text, file, backslash=True)]
    for path in _drop_ins(Path(file)):
        dropped = text_of(path)
        lines += entries(dropped, str(path), backslash=True)
    service = [line for line in lines if line.section == "Service"]
    start = _last(service, "ExecStart")
    if start is None:
        return
    environment = _environment(service)
    known = {name: given.value for name, given in environment.items()}
    for command in commands_or_trouble(lambda: _parse(start, known), start.place):
        if isinstance(command, Trouble):
            yield command
        else:
            yield _worker(command, file, lines, start, environment)


def _worker(
    command: Command,
    file: str,
    lines: list[Entry],
    start: Entry,
    environment: dict[str, Given[str]],
) -> Deployed:
    service = [line for line in lines if line.section == "Service"]
    options = {line.key: Given(line.value, line.place) for line in _in_force(service)}
    signal, stop = options.get("KillSignal"), options.get("ExecStop")
    return Deployed(
        manager=Manager.SYSTEMD,
        name=f"unit {Path(file).name}",
        place=place_of(command, start.place),
        command=command,
        grace=_grace(service, start),
        grace_setting="TimeoutStopSec",
        grace_form="TimeoutStopSec={seconds}",
        stop_signal=Given(signal_name(signal.value), signal.place) if signal else None,
        stop_form="KillSignal=SIGTERM",
        pre_stop=Hook(stop.value, stop.place) if stop else None,
        environment=environment_of(environment, command, start.place),
        options=options,
        misplaced=tuple(
            Given(line.key, line.place)
            for line in lines
            if line.key in _OF_SERVICES and line.section != "Service"
        ),
    )


def _drop_ins(unit: Path) -> list[Path]:
    folder = unit.with_name(f"{unit.name}.d")
    return sorted(folder.glob("*.conf")) if folder.is_dir() else []


def _parse(start: Entry, known: Mapping[str, str]) -> list[Command]:
    try:
        # systemd writes a percent sign as two, and a dollar sign.
        raw = shlex.split(start.value.lstrip(_PREFIXES))
    except ValueError:
        return []
    filled = [filled_in(word.replace("%%", "%"), known) for word in raw]
    find = finder((), (Path(start.place.file).parent,))
    lines = [start.place.line] * len(raw)
    file = start.place.file
    found = workers_in_words(filled, text=start.value, find=find, lines=lines, file=file)
    return as_written(found, raw) if raw != filled else found


def _in_force(lines: Iterable[Entry]) -> list[Entry]:
    """The last line of each key; an empty one takes the key back."""
    found: dict[str, Entry] = {}
    for line in lines:
        if line.value:
            found[line.key] = line
        else:
            found.pop(line.key, None)
    return list(found.values())


def _last(lines: Iterable[Entry], key: str) -> Entry | None:
    return next((line for line in _in_force(lines) if line.key == key), None)


def _grace(lines: list[Entry], start: Entry) -> Given[float] | None:
    if (never := _last(lines, "SendSIGKILL")) and never.value.lower() in (
        "no",
        "false",
        "0",
        "off",
    ):
        return None
    found = [line for line in lines if line.key in ("TimeoutStopSec", "TimeoutSec") and line.value]
    if not found:
        return Given(GRACE, start.place, written=False)
    seconds = _seconds(found[-1].value)
    return None if not seconds else Given(seconds, found[-1].place)


def _seconds(value: str) -> float | None:
    """A time span of systemd; ``infinity`` and 0 mean that there is no limit."""
    text = value.lower()
    for theirs, ours in _UNITS:
        text = text.replace(theirs, ours)
    try:
        return parse(text)
    except ValueError:
        return None


def _environment(lines: list[Entry]) -> dict[str, Given[str]]:
    found: dict[str, Given[str]] = {}
    for line in lines:
        if line.key == "Environment":
            try:
                pairs = shlex.split(line.value)
            except ValueError:
                continue
            found.update(variables(((line.place.line, p) for p in pairs), line.place.file))
    return found
