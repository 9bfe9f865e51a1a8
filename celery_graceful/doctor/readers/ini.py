"""Files of sections and ``key = value`` lines, with the line of every value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from celery_graceful.doctor.facts import Place

_SECTION = re.compile(r"^\[(?P<name>[^\]]+)\]\s*(?:[;#].*)?$")


class Entry(NamedTuple):
    """One line of a section."""

    section: str
    key: str
    value: str
    place: Place


def sections(text: str) -> list[str]:
    """The names of the sections; none of a text that does not begin with one."""
    lines = (line.strip() for line in text.split("\n"))
    first = next((line for line in lines if line and not line.startswith(("#", ";", "{%"))), "")
    if not first.startswith("["):
        return []
    found = (_SECTION.match(line.strip()) for line in text.split("\n"))
    return [match["name"].strip() for match in found if match]


def entries(text: str, file: str, *, backslash: bool) -> Iterator[Entry]:
    """All lines with a value, in their order.

    Args:
        text: the file's text.
        file: the file's name.
        backslash: whether a line goes on after a backslash at its end (systemd); else the next
            line goes on when it is indented further (Python's ini files).
    """
    section, key, number, indent = "", "", 0, 0
    parts: list[str] = []  # of the value
    between = " " if backslash else "\n"
    for at, line in enumerate(text.split("\n"), 1):
        bare = line.strip()
        depth = len(line) - len(line.lstrip())
        goes_on = bool(key) and (parts[-1].endswith("\\") if backslash else depth > indent)
        if goes_on and bare and not bare.startswith(("#", ";")):
            parts[-1] = parts[-1].removesuffix("\\").rstrip()
            parts.append(bare)
            continue
        if not bare or bare.startswith(("#", ";")):
            continue
        if key:
            yield Entry(section, key, between.join(parts), Place(file, number))
            key = ""
        heading = _SECTION.match(bare)
        if heading:
            section = heading["name"].strip()
            continue
        name, equals, rest = bare.partition("=")
        if equals:
            key, parts, number, indent = name.strip(), [rest.strip()], at, depth
    if key:
        yield Entry(section, key, between.join(parts), Place(file, number))
