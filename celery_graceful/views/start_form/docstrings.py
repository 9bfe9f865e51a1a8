"""What docstrings say of a task and of its arguments: Google's, NumPy's and Sphinx's forms."""

from __future__ import annotations

import inspect
import re

_LONGEST = 2000
_SECTION = re.compile(r"(?:Args|Arguments|Parameters|Keyword Args|Keyword Arguments):?\s*")
_ANY_SECTION = re.compile(r"[A-Z][A-Za-z ]{2,30}:\s*|:\w+.*:.*")
_GOOGLE = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")
_NUMPY = re.compile(r"\*{0,2}(\w+(?:\s*,\s*\w+)*)\s*(?::.*)?")
_SPHINX = re.compile(r":(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)")


def summary_of(text: str | None) -> str:
    """What stands before the first section."""
    lines = []
    cleaned = _lines(text)
    for place, line in enumerate(cleaned):
        underlined = place + 1 < len(cleaned) and re.fullmatch(r"-{3,}\s*", cleaned[place + 1])
        if _SECTION.fullmatch(line) or _ANY_SECTION.fullmatch(line) or underlined:
            break
        lines.append(line)
    return "\n".join(lines).strip()[:_LONGEST]


def arguments_in(text: str | None) -> dict[str, str]:
    """What a docstring says of arguments, by their names."""
    lines = _lines(text)
    found: dict[str, str] = {}
    for place, line in enumerate(lines):
        if match := _SPHINX.match(line.strip()):
            found[match[1]] = _joined([match[2], *_deeper(lines[place + 1 :], _indent(line))])
        elif _SECTION.fullmatch(line):
            rest = lines[place + 1 :]
            is_numpy = bool(rest) and re.fullmatch(r"-{3,}\s*", rest[0]) is not None
            found.update(_numpy(rest[1:]) if is_numpy else _google(rest))
    return {name: said[:_LONGEST] for name, said in found.items() if said}


def _google(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    section = _deeper(lines, 0, blank=True)
    least = min((_indent(line) for line in section if line.strip()), default=0)
    for place, line in enumerate(section):
        match = _GOOGLE.match(line.strip()) if _indent(line) == least else None
        if match and line.strip():
            found[match[1]] = _joined([match[2], *_deeper(section[place + 1 :], least)])
    return found


def _numpy(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for place, line in enumerate(lines):
        following = lines[place + 1] if place + 1 < len(lines) else ""
        if re.fullmatch(r"-{3,}\s*", following):
            break  # the next section
        match = _NUMPY.fullmatch(line.strip()) if line.strip() and not _indent(line) else None
        if match:
            said = _joined(_deeper(lines[place + 1 :], 0))
            found.update({name.strip(): said for name in match[1].split(",")})
    return found


def _deeper(lines: list[str], indent: int, *, blank: bool = False) -> list[str]:
    """The lines that are indented more, up to the first that is not."""
    found = []
    for line in lines:
        if line.strip() and _indent(line) <= indent:
            break
        if not line.strip() and not blank:
            break
        found.append(line)
    return found


def _joined(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines).strip()


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _lines(text: str | None) -> list[str]:
    return inspect.cleandoc(text).splitlines() if text else []
