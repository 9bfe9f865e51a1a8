"""Servers that refuse to run as root: the user they run as, and a folder that it reaches."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.servers.process import ServerError


def other_user(server: str, names: Sequence[str]) -> str | None:
    """The first of the users ``names`` that exists, for root; ``None`` for anybody else.

    Raises:
        ServerError: this is root, and there is none of them.
    """
    if os.geteuid() != 0:
        return None
    for name in names:
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise ServerError(f"{server} does not run as root, and there is no user {' or '.join(names)}")


def folder_for(user: str | None, prefix: str) -> Path:
    """A new folder of ``user``, who may not be able to reach what is in ``TMPDIR``."""
    if user is None:
        return Path(tempfile.mkdtemp(prefix=prefix))
    for parent in (tempfile.gettempdir(), "/var/tmp", "/tmp", "/dev/shm"):
        if _everybody_reaches(Path(parent)):
            folder = tempfile.mkdtemp(prefix=prefix, dir=parent)
            shutil.chown(folder, user)
            return Path(folder)
    raise ServerError(f"found no folder that the user {user} reaches; set TMPDIR to one")


def _everybody_reaches(folder: Path) -> bool:
    """Whether all users may enter ``folder``, and this one may write to it."""
    path = folder.absolute()
    open_to_all = all(
        part.is_dir() and part.stat().st_mode & stat.S_IXOTH for part in (path, *path.parents)
    )
    return open_to_all and os.access(path, os.W_OK)
