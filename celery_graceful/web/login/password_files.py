"""Files with the hashes of passwords: ``--auth USER:FILE`` or ``--auth FILE``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from celery_graceful.errors import SettingsError
from celery_graceful.text.printable import printable

#: What Werkzeug writes: method and parameters, salt, hash.
_HASH = re.compile(r"(?:scrypt|pbkdf2):[\w:]+\$[\w./+=-]+\$[0-9a-f]{32,}", re.ASCII)
_USER = re.compile(r"[^\s:/\\\x00-\x1f]{1,100}")
_MAKE = "make one with: celery -A PROJECT graceful web --hash-password"


def read_accounts(given: Iterable[str]) -> dict[str, str]:
    """The users and the hashes of their passwords.

    Args:
        given: ``USER:FILE``, a file that holds one hash; or ``FILE``, a file with a line
            ``USER:HASH`` for each user. Empty lines and lines that begin with ``#`` do not count.

    Raises:
        SettingsError: a file cannot be read, or holds something else.
    """
    accounts: dict[str, str] = {}
    for each in given:
        user, colon, name = each.partition(":")
        if colon and _USER.fullmatch(user):
            accounts[user] = _one_hash(Path(name))
        else:
            accounts.update(_several(Path(each)))
    return accounts


def _one_hash(path: Path) -> str:
    lines = _lines(path)
    if len(lines) != 1:
        raise SettingsError(f"{_name(path)} has {len(lines)} lines, not one hash; {_MAKE}")
    return _checked(path, *lines[0])


def _several(path: Path) -> dict[str, str]:
    found = {}
    for number, line in _lines(path):
        user, _, hashed = line.partition(":")
        if not _USER.fullmatch(user):
            raise SettingsError(f"{_name(path)}, line {number}: write USER:HASH, one user a line")
        found[user] = _checked(path, number, hashed.strip())
    if not found:
        raise SettingsError(f"{_name(path)} names no user: write USER:HASH, one user a line")
    return found


def _checked(path: Path, number: int, hashed: str) -> str:
    if not _HASH.fullmatch(hashed):
        raise SettingsError(f"{_name(path)}, line {number}: this is no hash; {_MAKE}")
    return hashed


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as exc:
        raise SettingsError(f"--auth: {_name(path)} cannot be read: {exc}") from exc
    stripped = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    return [(number, line) for number, line in stripped if line and not line.startswith("#")]


def _name(path: Path) -> str:
    return printable(str(path)[:200])
