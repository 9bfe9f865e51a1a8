"""Files of sections and ``key = value`` lines: units of systemd, supervisord's configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from celery_graceful.doctor.commands.search import commands_in_words
from celery_graceful.doctor.commands.shell_syntax import Word
from celery_graceful.doctor.facts import Deployed, Given, Hook, Manager, Place, finite
from celery_graceful.doctor.readers.entry import Entry
from celery_graceful.doctor.readers.entry_scripts import finder
from celery_graceful.doctor.readers.texts import (
    filled_in,
    signal_name,
    split,
    text_of,
    variables,
)
from celery_graceful.durations import parse

#: Seconds until SIGKILL where nothing is set.
SYSTEMD_GRACE, SUPERVISORD_GRACE = 90.0, 10.0
_SECTION = re.compile(r"^\[(?P<name>[^\]]+)\]\s*(?:[;#].*)?$")
_PAIR = re.compile(r"\b(?P<name>\w+)\s*=\s*(?P<value>\"[^\"]*\"|'[^']*'|[^,\n]*)")
_UNITS = (("min", "m"), ("sec", "s"), ("hours", "h"), ("hour", "h"), ("hr", "h"))
#: Settings of the section ``[Service]``.
_OF_SERVICES = ("KillMode", "KillSignal", "TimeoutStopSec", "Restart", "ExecStop", "SendSIGKILL")
#: What may be in front of a program of systemd.
_PREFIXES = "@-:+!|"

Options = Mapping[str, Given[str]]


class Line(NamedTuple):
    """One value of a section."""

    section: str
    key: str
    value: str
    place: Place


def sections(text: str) -> list[str]:
    """The names of the sections; none of a text that does not begin with one."""
    lines = [line.strip() for line in text.split("\n")]
    first = next((line for line in lines if line and not line.startswith(("#", ";", "{%"))), "")
    found = (_SECTION.match(line) for line in lines) if first.startswith("[") else ()
    return [match["name"].strip() for match in found if match]


def values(text: str, file: str, *, backslash: bool) -> Iterator[Line]:
    """All values, in their order.

    Args:
        text: the file's text.
        file: the file's name.
        backslash: whether a backslash at its end continues a line (systemd); else the next line
            continues it when it is indented further (Python's ini files).
    """
    section, key, number, indent = "", "", 0, 0
    parts: list[str] = []  # of the value
    between = " " if backslash else "\n"
    for at, line in enumerate(text.split("\n"), 1):
        bare = line.strip()
        if not bare or bare.startswith(("#", ";")):
            continue
        depth = len(line) - len(line.lstrip())
        if key and (parts[-1].endswith("\\") if backslash else depth > indent):
            parts[-1] = parts[-1].removesuffix("\\").rstrip()
            parts.append(bare)
            continue
        if key:
            yield Line(section, key, between.join(parts), Place(file, number))
            key = ""
        heading = _SECTION.match(bare)
        if heading:
            section = heading["name"].strip()
            continue
        name, equals, rest = bare.partition("=")
        if equals:
            key, parts, number, indent = name.strip(), [rest.strip()], at, depth
    if key:
        yield Line(section, key, between.join(parts), Place(file, number))


def is_unit(text: str, file: str) -> bool:
    """Whether a text is a unit or a drop-in for services."""
    return "Service" in sections(text)


def read_unit(text: str, file: str) -> Iterator[Entry]:
    """A unit of systemd, as the drop-ins that lie beside it change it."""
    path = Path(file)
    lines = [*values(text, file, backslash=True)]
    for drop_in in sorted(path.with_name(f"{path.name}.d").glob("*.conf")):
        lines += values(text_of(drop_in), str(drop_in), backslash=True)
    service = [line for line in lines if line.section == "Service"]
    options = _in_force(service)
    start, stop = options.get("ExecStart"), options.get("ExecStop")
    if start is None:
        return
    environment = _unit_environment(service)
    worker = Deployed(
        Manager.SYSTEMD,
        f"unit {path.name}",
        start.place,
        grace=_unit_grace(service, options, start.place),
        grace_setting="TimeoutStopSec",
        grace_form="TimeoutStopSec={seconds}",
        stop_signal=signal_name(options.get("KillSignal")),
        stop_form="KillSignal=SIGTERM",
        pre_stop=Hook(stop.value, stop.place) if stop else None,
        environment=environment,
        options=options,
        misplaced=tuple(
            Given(line.key, line.place)
            for line in lines
            if line.key in _OF_SERVICES and line.section != "Service"
        ),
    )
    # systemd writes a percent sign as two, and a dollar sign.
    raw = split(start.value.lstrip(_PREFIXES))
    known = {name: given.value for name, given in environment.items()}
    words = [filled_in(word.replace("%%", "%"), known) for word in raw]
    yield _entry(worker, start, raw, words)


def _entry(worker: Deployed, start: Given[str], raw: list[str], words: list[str]) -> Entry:
    place = start.place
    placed = [Word(word, place.line, place.file) for word in words]
    find = finder((), (Path(place.file).parent,))
    return Entry(
        worker, partial(commands_in_words, placed, text=start.value, written=raw, find=find)
    )


def _in_force(lines: Iterable[Line]) -> dict[str, Given[str]]:
    """The last line of each key; an empty one takes the key back."""
    found: dict[str, Given[str]] = {}
    for line in lines:
        if line.value:
            found[line.key] = Given(line.value, line.place)
        else:
            found.pop(line.key, None)
    return found


def _unit_grace(lines: list[Line], options: Options, start: Place) -> Given[float] | None:
    never = options.get("SendSIGKILL")
    if never and never.value.lower() in ("no", "false", "0", "off"):
        return None
    found = [line for line in lines if line.key in ("TimeoutStopSec", "TimeoutSec") and line.value]
    if not found:
        return Given(SYSTEMD_GRACE, start, written=False)
    seconds = _seconds(found[-1].value)
    return Given(seconds, found[-1].place) if seconds else None


def _seconds(value: str) -> float | None:
    """A time span of systemd; ``infinity`` and 0 mean that there is no limit."""
    text = value.lower()
    for theirs, ours in _UNITS:
        text = text.replace(theirs, ours)
    try:
        return parse(text)
    except ValueError:
        return None


def _unit_environment(lines: list[Line]) -> dict[str, Given[str]]:
    found: dict[str, Given[str]] = {}
    for line in lines:
        if line.key == "Environment":
            pairs = ((line.place.line, pair) for pair in split(line.value))
            found.update(variables(pairs, line.place.file))
    return found


def is_supervisord(text: str, file: str) -> bool:
    """Whether a text has a section for a program."""
    return any(name.startswith(("program:", "supervisord")) for name in sections(text))


def read_supervisord(text: str, file: str) -> Iterator[Entry]:
    """The programs of supervisord."""
    programs: dict[str, dict[str, Given[str]]] = {}
    for line in values(text, file, backslash=False):
        value = re.split(r"\s;", line.value, maxsplit=1)[0].strip()
        programs.setdefault(line.section, {})[line.key] = Given(value, line.place)
    for section, options in programs.items():
        start = options.get("command")
        if section.startswith("program:") and start is not None:
            name = section.removeprefix("program:")
            raw = split(start.value)
            words = [word.replace("%%", "%") for word in raw]
            yield _entry(_program(name, start.place, options), start, raw, words)


def _program(name: str, place: Place, options: Options) -> Deployed:
    given = options.get("environment")
    copies = _number(options, "numprocs", 1, place)
    return Deployed(
        Manager.SUPERVISORD,
        f"program {name}",
        place,
        grace=_number(options, "stopwaitsecs", SUPERVISORD_GRACE, place),
        grace_setting="stopwaitsecs",
        grace_form="stopwaitsecs={seconds}",
        stop_signal=signal_name(options.get("stopsignal")),
        stop_form="stopsignal=TERM",
        environment={
            match["name"]: Given(match["value"].strip().strip("\"'"), given.place)
            for match in _PAIR.finditer(given.value)
        }
        if given
        else {},
        copies=Given(int(copies.value), copies.place, copies.written) if copies else None,
        options=options,
    )


def _number(options: Options, key: str, default: float, place: Place) -> Given[float] | None:
    found = options.get(key)
    if found is None:
        return Given(default, place, written=False)
    value = finite(found.value)  # or %(ENV_GRACE)s
    return None if value is None else Given(value, found.place)
