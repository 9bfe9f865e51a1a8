"""Configurations of supervisord."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from celery_graceful.doctor.facts import Deployed, Given, Manager, Place
from celery_graceful.doctor.parse import parse_words
from celery_graceful.doctor.readers.ini import entries, sections
from celery_graceful.doctor.readers.texts import environment_of, finite, signal_name

__all__ = ["is_supervisord", "read_supervisord"]

GRACE = 10.0
_PAIR = re.compile(r"\b(?P<name>\w+)\s*=\s*(?P<value>\"[^\"]*\"|'[^']*'|[^,\n]*)")


def is_supervisord(text: str) -> bool:
    """Whether a text has a section for a program."""
    return any(name.startswith(("program:", "supervisord")) for name in sections(text))


def read_supervisord(text: str, file: str) -> Iterator[Deployed]:
    """The workers among the programs."""
    programs: dict[str, dict[str, Given[str]]] = {}
    for line in entries(text, file, backslash=False):
        value = re.split(r"\s;", line.value, maxsplit=1)[0].strip()
        programs.setdefault(line.section, {})[line.key] = Given(value, line.place)
    for section, options in programs.items():
        if section.startswith("program:") and "command" in options:
            worker = _worker(section.removeprefix("program:"), options)
            if worker is not None:
                yield worker


def _worker(name: str, options: dict[str, Given[str]]) -> Deployed | None:
    written = options["command"]
    try:
        words = shlex.split(written.value.replace("%%", "%"))
    except ValueError:
        return None
    command = parse_words(words, text=written.value)
    if not command.is_worker:
        return None
    signal = options.get("stopsignal")
    return Deployed(
        manager=Manager.SUPERVISORD,
        name=f"program {name}",
        place=written.place,
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
