"""What the first argument of a source may be."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import IO, Any, Protocol, TypeAlias, Union

from celery_graceful.errors import SourceError
from celery_graceful.sources.reading.origins import object_stores
from celery_graceful.sources.reading.origins.openable import (
    LocalFile,
    MadeFile,
    Origin,
    StorageFile,
)
from celery_graceful.text.masking import mask_text


class DjangoFile(Protocol):
    """A ``FieldFile`` or another ``File`` of Django."""

    name: Any

    def open(self, mode: Any = ...) -> Any:
        """Open it."""


class OpenFile(Protocol):
    """What ``fsspec.open()`` returns."""

    fs: Any
    path: Any


Readable: TypeAlias = Union[
    str, "os.PathLike[str]", tuple[Any, str], DjangoFile, OpenFile, Callable[[], IO[bytes]]
]


def origin_of(source: object) -> Origin:
    """The origin that the first argument of a source means.

    Args:
        source: a path; a URL of fsspec; what ``fsspec.open()`` returns; a file of Django; a pair
            of a store (Django's, obstore's or a file system of fsspec) and a name in it; or a
            function without arguments that opens a seekable binary file.

    Raises:
        SourceError: it is none of these.
    """
    if isinstance(source, str) and "://" in source:
        return object_stores.of_url(source)
    if isinstance(source, (str, os.PathLike)):
        return LocalFile(os.fspath(source))
    if isinstance(source, tuple) and len(source) == 2 and isinstance(source[1], str):
        return _in_store(*source)
    if hasattr(source, "fs") and hasattr(source, "path"):
        return object_stores.of_file_system(source.fs, source.path)
    if hasattr(source, "storage") and hasattr(source, "name"):
        if not source.name:
            raise SourceError(f"{source!r} has no file: the field is empty")
        return StorageFile.of(source.storage, source.name)
    if callable(source) and not hasattr(source, "read"):
        return MadeFile(source)
    if hasattr(source, "open") and hasattr(source, "chunks"):
        return MadeFile(lambda: source.open("rb"), str(source))
    raise SourceError(
        f"cannot read {type(source).__name__} {mask_text(repr(source)[:200])}: give a path, a URL,"
        " a file of Django, a pair of a store and a name in it, or a function that opens a"
        " seekable binary file (an open file cannot be opened again after an interruption)"
    )


def _in_store(store: Any, name: str) -> Origin:
    if hasattr(store, "get_modified_time"):
        return StorageFile.of(store, name)
    if hasattr(store, "get_range") and hasattr(store, "head"):
        return object_stores.StoredObject(store, name)
    if hasattr(store, "open") and hasattr(store, "info"):
        return object_stores.of_file_system(store, name)
    raise SourceError(
        f"cannot read {name!r} from a {type(store).__name__}: the first of a pair must be a storage"
        " of Django, a store of obstore or a file system of fsspec"
    )
