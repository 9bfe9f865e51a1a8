"""The key that signs sessions: from a file or the environment, checked before it is used."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from celery_graceful.errors import SettingsError
from celery_graceful.text.printable import printable

#: The variable of the environment that may hold the key itself.
VARIABLE = "GRACEFUL_SESSION_KEY"
#: Bytes: 128 bits as hexadecimal digits are 32.
_SHORTEST, _LONGEST = 32, 4096
_FEWEST_KINDS = 8
#: What stands in examples instead of a key.
_PLACEHOLDER = re.compile(rb"chang.?(?:e|ing).?me|replace.?me|insecure|your.?(?:secret|key)", re.I)
_MAKE = "make one with: openssl rand -hex 32"


def session_key(file: str | None, environ: Mapping[str, str]) -> bytes | None:
    """The key of ``--session-key-file``, else the one in the environment.

    Args:
        file: its name.
        environ: may hold :data:`VARIABLE`.

    Returns:
        The key; ``None``: none is given, and sessions end with the process.

    Raises:
        SettingsError: the file cannot be read, others can read it, or the key is weak.
    """
    if file is not None:
        path = Path(file)
        where = f"--session-key-file {printable(file[:200])}"
        return _checked(where, _contents(where, path))
    if VARIABLE in environ:
        return _checked(f"The variable {VARIABLE}", os.fsencode(environ[VARIABLE]))
    return None


def _contents(where: str, path: Path) -> bytes:
    try:
        with path.open("rb") as opened:
            _check_mode(where, path, os.fstat(opened.fileno()).st_mode)
            return opened.read(_LONGEST + 1)
    except OSError as exc:
        raise SettingsError(f"{where}: it cannot be read: {exc}; {_MAKE}") from exc


def _check_mode(where: str, path: Path, mode: int) -> None:
    """Its group may read it: so are secrets of Kubernetes for a user that is not root."""
    readable = "others can read it" if mode & stat.S_IROTH else ""
    writable = "others can change it" if mode & (stat.S_IWGRP | stat.S_IWOTH) else ""
    if readable or writable:
        name = printable(str(path)[:200])
        raise SettingsError(
            f"{where}: {readable or writable} (mode {stat.S_IMODE(mode):04o}), and who has the key"
            f" can log in as anybody. Make a new one, and: chmod 600 {name} (in Kubernetes:"
            " defaultMode: 0440 of the secret's volume)."
        )


def _checked(where: str, given: bytes) -> bytes:
    key = given.strip()
    if why := _weakness(key):
        raise SettingsError(f"{where}: the key {why}; {_MAKE}")
    return key


def _weakness(key: bytes) -> str:
    """What is wrong with a key; empty: nothing that can be seen."""
    if not key:
        return "is empty"
    if len(key) < _SHORTEST:
        return f"has {len(key)} bytes, and needs {_SHORTEST}"
    if len(key) > _LONGEST:
        return f"has more than {_LONGEST} bytes: this seems to be another file"
    if len(set(key)) < _FEWEST_KINDS or _repeats(key):
        return "repeats itself, and can be guessed"
    if _PLACEHOLDER.search(key):
        return "is a placeholder of an example"
    return ""


def _repeats(key: bytes) -> bool:
    return any(key[period:] == key[:-period] for period in range(1, len(key) // 2 + 1))
