"""Where the index of a gzip file is kept: beside it, or in a folder of the user's cache."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

logger = logging.getLogger("celery_graceful.sources")

#: Seconds after which a half-written file is that of a process that was killed.
_ABANDONED = 60.0
_HEAD = b"celery-graceful gzip index 1 "


class KeptIndex:
    """The index of one gzip file, in one state of it.

    Args:
        name: the file's, in the log and in the cache.
        path: the file's, if it is a local one.
        fingerprint: the file's: an index of another one is not used.
    """

    def __init__(self, name: str, path: str | None, fingerprint: str) -> None:
        self._name = name
        self._head = _HEAD + fingerprint.encode() + b"\n"
        whole = name if path is None else os.path.abspath(path)
        cached = cache_folder() / (hashlib.sha256(os.fsencode(whole)).hexdigest()[:32] + ".gzidx")
        self._places = [cached] if path is None else [Path(path + ".gzidx"), cached]
        self._points = 0

    @property
    def place(self) -> Path:
        """Where it is kept, or will be if that can be written to."""
        return self._places[0]

    def load(self, reader: Any) -> bool:
        """Give ``reader`` the index that is kept; ``False`` if there is none of this file."""
        for place in self._places:
            try:
                # Without a buffer: the package reads from the descriptor.
                with open(place, "rb", buffering=0) as file:
                    if file.readline(1000) == self._head:
                        reader.import_index(fileobj=file)
                        self._points = _points(reader)
                        return True
            except (FileNotFoundError, NotADirectoryError):
                continue
            except Exception as exc:
                # Reading is slower without, and otherwise the same.
                logger.warning("the index %s of %s cannot be used: %s", place, self._name, exc)
        return False

    def save(self, reader: Any) -> None:
        """Keep what ``reader`` has of the index, if that is more than is kept."""
        points = _points(reader)
        if points <= self._points:
            return
        problems = []
        for place in self._places:
            try:
                _replace(place, self._head, lambda file: reader.export_index(fileobj=file))
            except Exception as exc:  # what is read is right without
                problems.append(f"{place}: {exc}")
            else:
                self._points = points
                return
        self._points = 1 << 62  # once is enough
        logger.warning(
            "the index of %s cannot be kept, so each resume reads the file from its start: %s;"
            " set XDG_CACHE_HOME to a folder that the worker can write to",
            self._name,
            "; ".join(problems),
        )


def cache_folder() -> Path:
    """``celery-graceful`` in the folder for caches of this user."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base, "celery-graceful")


def _points(reader: Any) -> int:
    return sum(1 for _ in reader.seek_points())


def _replace(place: Path, head: bytes, write: Callable[[IO[bytes]], None]) -> None:
    """Write a file as a whole, or leave that to another process that is about to."""
    if place.parent.name == "celery-graceful":
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = place.with_name(place.name + ".part")
    with suppress(FileNotFoundError):
        if time.time() - part.stat().st_mtime > _ABANDONED:
            part.unlink()
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:  # without a buffer, as below
            file.write(head)
            write(file)
        os.replace(part, place)
    except BaseException:
        os.unlink(part)
        raise
