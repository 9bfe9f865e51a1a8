"""Files that can be opened again: of this machine, of Django's storages, by a function."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import IO, Any, BinaryIO, NamedTuple, Protocol

from celery_graceful.errors import SourceError
from celery_graceful.sources.reading.fingerprints import size_of


class Raw(NamedTuple):
    """An open file, as it is stored."""

    file: BinaryIO
    size: int
    #: The version that the store says, if it does: an ETag, a time. ``None``: the content decides.
    version: str | None = None


class Origin(Protocol):
    """A file that can be opened again and again."""

    @property
    def name(self) -> str:
        """What it is called in errors, without secrets."""

    @property
    def path(self) -> str | None:
        """Its path, if it is a local file."""

    def open(self) -> Raw:
        """Open it for reading, at its start."""


class LocalFile:
    """A file of this machine."""

    def __init__(self, path: str | bytes) -> None:
        self.path = self.name = os.fsdecode(path)

    def open(self) -> Raw:
        file = open(self.path, "rb")  # noqa: SIM115 - closed by who has asked for it
        return Raw(file, os.fstat(file.fileno()).st_size)


class StorageFile:
    """A file in a storage of Django that is not a folder of this machine."""

    path: str | None = None

    def __init__(self, storage: Any, name: str) -> None:
        self._storage, self.name = storage, name

    @staticmethod
    def of(storage: Any, name: str) -> Origin:
        """The file ``name`` in ``storage``; a local one as such."""
        from django.core.files.storage import FileSystemStorage

        # Others have paths as well, which need not be those of files.
        if isinstance(storage, FileSystemStorage):
            return LocalFile(storage.path(name))
        return StorageFile(storage, name)

    def open(self) -> Raw:
        file = self._storage.open(self.name, "rb")
        try:
            modified = f"{self._storage.get_modified_time(self.name).timestamp():.6f}"
        except NotImplementedError:
            modified = None
        return Raw(file, self._storage.size(self.name), modified)


class MadeFile:
    """A file that a function opens."""

    path: str | None = None

    def __init__(self, function: Callable[[], IO[bytes]], name: str | None = None) -> None:
        self._function = function
        self.name = name or getattr(function, "__qualname__", None) or repr(function)

    def open(self) -> Raw:
        file: Any = self._function()
        if not (hasattr(file, "seekable") and file.seekable()) or isinstance(file.read(0), str):
            if hasattr(file, "close"):
                file.close()
            raise SourceError(
                f"{self.name} returned {file!r}, which is not a seekable binary file;"
                " resuming needs one"
            )
        return Raw(file, size_of(file))
