"""zstd files with a table of their frames, from the middle of which reading can begin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import BinaryIO

from celery_graceful.errors import SourceError
from celery_graceful.sources.reading.compressed.formats import convert_command
from celery_graceful.sources.reading.compressed.guarded import Guarded


@contextmanager
def frames(file: BinaryIO, name: str) -> Iterator[BinaryIO]:
    """The content of an open zstd file.

    Raises:
        SourceError: it has no table of its frames, or is damaged.
    """
    pyzstd = package(name)
    try:
        inner = pyzstd.SeekableZstdFile(file)
    except (pyzstd.SeekableFormatError, EOFError) as exc:
        raise SourceError(
            f"{name} cannot be read from its middle: it has no table of its zstd frames at its"
            f" end. If it is complete, make a seekable file of it: {convert_command(name)}"
        ) from exc
    errors = (pyzstd.ZstdError, pyzstd.SeekableFormatError, EOFError)
    with inner, Guarded(inner, name, errors).buffered() as content:
        yield content


def package(name: str) -> ModuleType:
    """pyzstd.

    Raises:
        SourceError: it is not installed.
    """
    try:
        import pyzstd
    except ImportError as exc:
        raise SourceError(
            f"{name} is a zstd file, which needs a package: pip install 'celery-graceful[zstd]'"
        ) from exc
    return pyzstd
