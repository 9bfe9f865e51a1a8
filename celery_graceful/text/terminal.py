"""Text that fits a terminal: how wide that is, how wide a text is, and where to break it."""

from __future__ import annotations

import shutil
import sys
import unicodedata

#: Lines of sentences are no longer than this, in cells, however wide the terminal is.
_PROSE = 100
#: Nothing is made to fit into less.
_LEAST = 20
#: Where a long word is broken rather than in the middle of a name.
_BREAKS = "._-/:,@"


def terminal_width() -> int | None:
    """How many cells a line of stdout has; ``None``: it is no terminal, and has any number."""
    if not sys.stdout.isatty():
        return None
    return max(_LEAST, shutil.get_terminal_size().columns)


def prose_width() -> int:
    """How many cells a line of sentences on stdout gets."""
    return min(terminal_width() or _PROSE, _PROSE)


def cell_width(text: str) -> int:
    """How many cells of a terminal a text takes: two for each wide character."""
    return len(text) if text.isascii() else sum(map(_width, text))


def _width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines of at most ``width`` cells, broken at spaces where there are any."""
    if cell_width(text) <= width:
        return [text]
    lines, line = [], ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if cell_width(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        *whole, line = _broken(word, width)
        lines += whole
    return [*lines, line]


def _broken(word: str, width: int) -> list[str]:
    """A word in parts that fit, broken behind a mark where there is one."""
    parts = []
    while len(word) > 1 and cell_width(word) > width:
        end = taken = 0
        while end < len(word) and taken + _width(word[end]) <= width:
            taken += _width(word[end])
            end += 1
        mark = max(word.rfind(mark, 0, end) for mark in _BREAKS) + 1
        end = mark if mark > end // 2 else max(1, end)
        parts.append(word[:end])
        word = word[end:]
    return [*parts, word]
