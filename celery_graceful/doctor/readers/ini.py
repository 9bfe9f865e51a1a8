"""Files of sections and ``key = value`` lines, with the line of every value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from celery_graceful.doctor.facts import Place

__all__ = ["Entry", "entries", "sections"]

_SECTION = re.compile(r"^\[(?P<name>[^\]]+)\]\s*(?:[;#].*)?$")


class Entry(NamedTuple):
    """One line of a section."""

    section: str
    key: str
    value: str
    place: Place


def sections(text: str) -> list[str]:
    """The names of the sections."""
    found = (_SECTION.match(line.strip()) for line in text.splitlines())
    return [match["name"].strip() for match in found if match]


def entries(text: str, file: str, *, backslash: bool) -> Iterator[Entry]:
    """All lines with a value, in their order.

    Args:
        text: the file's text.
        file: the file's name.
        backslash: whether a line goes on after a backslash at its end (systemd); else the next
            line goes on when it is indented further (Python's ini files).
    """
    section, key, value, number, indent = "", "", "", 0, 0
    for at, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        depth = len(line) - len(line.lstrip())
        goes_on = value.endswith("\\") if backslash else depth > indent
        if key and goes_on and bare and not bare.startswith(("#", ";")):
            value = f"{value.removesuffix(chr(92)).rstrip()}{' ' if backslash else chr(10)}{bare}"
            continue
        if not bare or bare.startswith(("#", ";")):
            continue
        if key:
            yield Entry(section, key, value, Place(file, number))
            key = ""
        heading = _SECTION.match(bare)
        if heading:
            section = heading["name"].strip()
            continue
        name, equals, rest = bare.partition("=")
        if equals:
            key, value, number, indent = name.strip(), rest.strip(), at, depth
    if key:
        yield Entry(section, key, value, Place(file, number))
