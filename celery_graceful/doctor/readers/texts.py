"""Small readers that several kinds of files share."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from celery_graceful.doctor.command import Command
from celery_graceful.doctor.facts import Given, Place
from celery_graceful.doctor.readers.outcome import Trouble
from celery_graceful.durations import parse
from celery_graceful.text.files import TooLarge, read_regular

#: Bytes: far more than any deployment file has, and read within a second.
MOST = 1 << 20

_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?P<rest>[^}]{0,500})\}|(?P<bare>[A-Za-z_]\w*))"
)


#: What Jinja, Go and ERB fill in; and their statements, which have no name.
_BLANK = re.compile(
    r"\{\{[-\s]{0,9}(?P<name>[\w.]{1,100})[^{}\n]{0,200}\}\}|\{%[^{}\n]{0,200}%\}"
    r"|<%=[\s@]{0,9}(?P<erb>[\w.]{1,100})[^<>\n]{0,200}%>|<%[^<>\n]{0,200}%>"
)


def text_of(path: Path, *, strict: bool = False) -> str:
    """The text of a file.

    Args:
        path: The file.
        strict: It has to be UTF-8; else what is not is passed over.

    Raises:
        Trouble: it cannot be read, is no regular file, too large or (``strict``) no text.
    """
    try:
        data = read_regular(path, MOST)
        return plain(data.decode("utf-8", "strict" if strict else "replace"))
    except TooLarge:
        raise Trouble(
            Place(str(path)),
            f"it is larger than {MOST >> 20} MiB, which no deployment file is, and was not read",
            "name the part of it that deploys workers, as a file of its own",
        ) from None
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise Trouble(Place(str(path)), f"it cannot be read: {reason}", "name a file") from exc
    except UnicodeDecodeError as exc:
        raise Trouble(Place(str(path)), "it is no text in UTF-8", "name a text file") from exc


def signal_name(text: str) -> str:
    """``TERM``, ``term``, ``SIGTERM`` and ``15`` as ``SIGTERM``."""
    import signal

    bare = text.strip().strip("\"'").upper()
    if bare.isdigit():
        known = {each.value: each.name for each in signal.Signals}
        return known.get(int(bare), bare)
    return bare if bare.startswith("SIG") else f"SIG{bare}"


def read_duration(text: str) -> float | None:
    """Seconds; ``None`` for what is no duration, or for one that never ends."""
    try:
        return parse(text.strip())
    except ValueError:
        return None


def plain(text: str) -> str:
    """Without a byte-order mark, and with the line ends of Unix."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def with_plain_blanks(text: str) -> str:
    """A template whose blanks are words: ``{{ app | default('a') }}`` as ``{{app}}``."""
    if "{{" not in text and "{%" not in text and "<%" not in text:
        return text
    return _BLANK.sub(_plain_blank, text)


def _plain_blank(match: re.Match[str]) -> str:
    name = match["name"] or match["erb"]
    return f"{{{{{name}}}}}" if name else ""


def filled_in(text: str, known: Mapping[str, str] | None = None) -> str:
    """A text as compose fills it in: ``${NAME:-default}``, ``$NAME``, ``$$``.

    Args:
        text: the text.
        known: variables that are known; others are left as they are, if they have no default.
    """
    return _VARIABLE.sub(lambda match: _value(match, known or {}), text)


def _value(match: re.Match[str], known: Mapping[str, str]) -> str:
    if match["escaped"]:
        return "$"
    value, rest = known.get(match["name"] or match["bare"]), match["rest"] or ""
    default = rest.removeprefix(":-") if rest[:2] == ":-" else rest[1:]
    if rest[:1] == "-" or rest[:2] == ":-":
        return value if value or (value is not None and rest[:1] == "-") else default
    if rest[:1] == "+" or rest[:2] == ":+":
        return match[0]
    return match[0] if value is None else value


def variables(lines: Iterable[tuple[int, str]], file: str) -> dict[str, Given[str]]:
    """The lines ``NAME=value`` of an environment file, given with their numbers."""
    found: dict[str, Given[str]] = {}
    for number, line in lines:
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            found[name.strip()] = Given(value.strip().strip("\"'"), Place(file, number))
    return found


def environment_of(
    given: Mapping[str, Given[str]], command: Command, place: Place
) -> dict[str, Given[str]]:
    """What a worker's environment holds: the manager's, then what its command line sets."""
    own = {name: Given(value, place) for name, value in command.environment.items()}
    return {**given, **own}


def finite(text: str) -> float | None:
    """A number that people write; ``None`` for what is none, ``inf`` and ``1e999`` included."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
