"""Files in object stores: by obstore, or by whatever fsspec knows."""

from __future__ import annotations

import hashlib
import importlib
import io
from typing import Any

from celery_graceful.errors import SourceError
from celery_graceful.sources.reading.origins.openable import LocalFile, Origin, Raw
from celery_graceful.text.masking import mask_url

_FIRST, _MOST = 1 << 17, 1 << 22
#: What file systems of fsspec call the version of a file, the most exact first.
_VERSIONS = ("ETag", "etag", "e_tag", "md5", "checksum", "VersionId", "version_id", "generation")


class StoredObject:
    """An object in a store of obstore.

    Args:
        store: as obstore makes it.
        key: of the object in the store.
    """

    path: str | None = None

    def __init__(self, store: Any, key: str) -> None:
        self._store, self._key = store, key
        self.name = f"{key} in {type(store).__name__}"

    def open(self) -> Raw:
        meta = self._store.head(self._key)
        version = meta.get("e_tag") or meta.get("version")
        if version is None:
            version = str(meta["last_modified"].timestamp())
        raw = _Ranges(self._store, self._key, self.name, meta)
        return Raw(io.BufferedReader(raw, _FIRST), meta["size"], version.strip('"'))


class _Ranges(io.RawIOBase):
    """Reads an object by ranges of one version: if it is replaced meanwhile, that is an error."""

    def __init__(self, store: Any, key: str, name: str, meta: Any) -> None:
        super().__init__()
        self._store, self._key, self._name, self._size = store, key, name, meta["size"]
        tag = meta.get("e_tag")
        # A weak one never matches: RFC 9110, section 13.1.1.
        self._options = {"if_match": tag} if tag and not tag.startswith("W/") else {}
        self._position = self._start = 0
        self._data, self._length = memoryview(b""), _FIRST

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        if self._position >= self._size:
            return 0
        at = self._position - self._start
        if not 0 <= at < len(self._data):
            # One request for much when it is read on, little when it is not.
            self._length = min(self._length * 2, _MOST) if at == len(self._data) else _FIRST
            self._data, self._start, at = self._fetched(), self._position, 0
        part = self._data[at : at + len(buffer)]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)

    def _fetched(self) -> memoryview:
        from obstore.exceptions import PreconditionError

        end = min(self._position + self._length, self._size)
        try:
            found = self._store.get(
                self._key, options={**self._options, "range": (self._position, end)}
            )
        except (PreconditionError, FileNotFoundError) as exc:
            raise SourceError(
                f"{self._name} was replaced or deleted while it was read, after byte"
                f" {self._position}; restore it and retry, or start a new run"
            ) from exc
        return memoryview(found.bytes())


class FileSystemFile:
    """A file of a file system of fsspec."""

    path: str | None = None

    def __init__(self, file_system: Any, path: str) -> None:
        self._file_system, self._path = file_system, path
        self.name = mask_url(file_system.unstrip_protocol(path))

    def open(self) -> Raw:
        info = self._file_system.info(self._path)
        version = next((str(info[name]) for name in _VERSIONS if info.get(name)), None)
        if version is None:
            version = hashlib.sha256(repr(sorted(info.items(), key=str)).encode()).hexdigest()[:16]
        file = self._file_system.open(self._path, "rb", compression=None)
        return Raw(file, info["size"], version.strip('"'))


def of_file_system(file_system: Any, path: str) -> Origin:
    """The file ``path`` of a file system of fsspec; a local one as such."""
    protocol = file_system.protocol
    if "file" in ((protocol,) if isinstance(protocol, str) else protocol):
        return LocalFile(file_system._strip_protocol(path))
    return FileSystemFile(file_system, path)


def of_url(url: str) -> Origin:
    """The file of a URL that fsspec knows.

    Raises:
        SourceError: fsspec, or what it needs for this kind of URL, is not installed.
    """
    file_system, path = file_system_of(url)
    return of_file_system(file_system, path)


def file_system_of(url: str) -> tuple[Any, str]:
    """The file system of fsspec that a URL means, and the path in it."""
    shown = mask_url(url)
    try:
        fsspec = importlib.import_module("fsspec.core")
    except ImportError as exc:
        raise SourceError(
            f"{shown} is a URL, which needs a package: pip install 'celery-graceful[fsspec]'"
        ) from exc
    try:
        file_system, path = fsspec.url_to_fs(url)
    except (ImportError, ValueError) as exc:
        raise SourceError(f"{shown} cannot be read by fsspec: {exc}") from exc
    return file_system, path
