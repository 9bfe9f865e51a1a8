"""Texts of files: reading them, and filling in variables."""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path

from celery_graceful.doctor.facts import Given, Place
from celery_graceful.doctor.readers.entry import Trouble
from celery_graceful.text.files import TooLarge, read_regular

#: Bytes: far more than any deployment file has, and read within a second.
MOST = 1 << 20
#: The ends of the names of YAML files.
YAML = (".yaml", ".yml", ".json")
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
        strict: It has to be UTF-8; else what is not is replaced.

    Raises:
        Trouble: it cannot be read, is no regular file, too large or (``strict``) no text.
    """
    try:
        data = read_regular(path, MOST)
        return plain(data.decode("utf-8", "strict" if strict else "replace"))
    except TooLarge:
        raise Trouble(
            Place(str(path)),
            f"it is larger than {MOST >> 20} MiB, more than any deployment file, and was not read",
            "name the part of it that deploys workers, as a file of its own",
        ) from None
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise Trouble(Place(str(path)), f"it cannot be read: {reason}", "name a file") from exc
    except UnicodeDecodeError as exc:
        raise Trouble(Place(str(path)), "it is not text in UTF-8", "name a text file") from exc


def plain(text: str) -> str:
    """Without a byte-order mark, and with the line ends of Unix."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def split(text: str) -> list[str]:
    """The words of a text; none where its quotes do not match."""
    try:
        return shlex.split(text)
    except ValueError:
        return []


def signal_name(given: Given[str] | None) -> Given[str] | None:
    """``TERM``, ``term``, ``SIGTERM`` and ``15`` as ``SIGTERM``."""
    if given is None:
        return None
    bare = given.value.strip().strip("\"'").upper()
    if bare.isdigit():
        bare = {str(each.value): each.name for each in signal.Signals}.get(bare.lstrip("0"), bare)
    elif not bare.startswith("SIG"):
        bare = f"SIG{bare}"
    return Given(bare, given.place)


def with_plain_blanks(text: str) -> str:
    """A template whose blanks are words: ``{{ app | default('a') }}`` as ``{{app}}``."""
    if "{{" not in text and "{%" not in text and "<%" not in text:
        return text
    return _BLANK.sub(_plain_blank, text)


def _plain_blank(match: re.Match[str]) -> str:
    name = match["name"] or match["erb"]
    return f"{{{{{name}}}}}" if name else ""


def filled_in(text: str, known: Mapping[str, str]) -> str:
    """A text as compose fills it in: ``${NAME:-default}``, ``$NAME``, ``$$``.

    Variables that are not known and have no default are left as they are.
    """
    return _VARIABLE.sub(lambda match: _value(match, known), text)


def _value(match: re.Match[str], known: Mapping[str, str]) -> str:
    if match["escaped"]:
        return "$"
    value, rest = known.get(match["name"] or match["bare"]), match["rest"] or ""
    if rest[:2] == ":-":
        return value or rest[2:]
    if rest[:1] == "-":
        return rest[1:] if value is None else value
    alternative = rest[:1] == "+" or rest[:2] == ":+"
    return match[0] if value is None or alternative else value


def variables(lines: Iterable[tuple[int, str]], file: str) -> dict[str, Given[str]]:
    """The lines ``NAME=value`` of an environment file, given with their numbers."""
    found: dict[str, Given[str]] = {}
    for number, line in lines:
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            found[name.strip()] = Given(value.strip().strip("\"'"), Place(file, number))
    return found


def env_file(path: Path) -> dict[str, Given[str]]:
    """The variables of an environment file; none, if it is not there."""
    if not path.is_file():
        return {}
    return variables(enumerate(text_of(path).split("\n"), 1), str(path))


def values_of(given: Mapping[str, Given[str]]) -> dict[str, str]:
    """The variables that have a known value."""
    return {name: each.value for name, each in given.items() if each.value}
