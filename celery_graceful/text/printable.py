"""Text that others wrote, made safe to show: in a terminal, a table, a log line or JSON."""

from __future__ import annotations

import json
import re
import unicodedata

#: Characters of a line that are shown: a terminal and a log have other lines as well.
MOST = 32_000
#: Characters that are looked at one by one.
_ODD = re.compile(r"[^ -~]")
#: They join what is seen, as in emoji and in Indic scripts.
_JOINERS = "\u200c\u200d"
_SPACES = "Zs"
#: What a terminal obeys, what turns the direction of text, and what cannot be written as UTF-8.
_UNSAFE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def printable(text: str, most: int = MOST) -> str:
    """One line, in which every character that could do something is written as an escape.

    ``\\x1b`` for an escape, ``\\n`` for a new line, ``\\xe9`` for a byte that was no UTF-8.

    Args:
        text: what others wrote.
        most: characters; a longer text is cut in its middle, and says how long it is.
    """
    if len(text) > most:
        text = f"{text[: most * 3 // 4]} … {len(text):,} characters … {text[-most // 4 :]}"
    if text.isprintable():
        return text
    return _ODD.sub(_shown, text)


def printable_lines(text: str, indent: str = "") -> str:
    """As :func:`printable`, with the lines kept: each after the first begins with ``indent``."""
    if len(text) <= MOST and text.isprintable():
        return text
    lines = text.replace("\r\n", "\n").split("\n")
    return f"\n{indent}".join(printable(line.expandtabs(4)) for line in lines)


def printable_json(text: str) -> str:
    """JSON in which such characters are escaped in JSON's own way."""
    if text.isprintable():
        return text
    return _ODD.sub(_shown_in_json, text)


def _shown_in_json(found: re.Match[str]) -> str:
    char = found[0]
    return char if char == "\n" or _is_safe(char) else json.dumps(char)[1:-1]


def _is_safe(char: str) -> bool:
    return char in _JOINERS or unicodedata.category(char) not in _UNSAFE


def _shown(found: re.Match[str]) -> str:
    char = found[0]
    if _is_safe(char):
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte of a command line that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
