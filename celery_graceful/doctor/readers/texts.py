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
from celery_graceful.files import TooLarge, read_regular

__all__ = [
    "environment_of",
    "filled_in",
    "finite",
    "read_duration",
    "signal_name",
    "text_of",
    "variables",
]

#: Bytes: far more than any deployment file has, and read within a second.
MOST = 1 << 20

_VARIABLE = re.compile(
    r"\$\{(?P<name>\w+)(?::?-(?P<default>[^}]{0,500}))?[^}]{0,500}\}|\$(?P<bare>[A-Za-z_]\w*)"
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
        return data.decode("utf-8", "strict" if strict else "replace")
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


def filled_in(text: str) -> str:
    """``${NAME:-default}`` by its default; other variables are left as they are."""
    return _VARIABLE.sub(lambda m: m.group(0) if m["default"] is None else str(m["default"]), text)


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
