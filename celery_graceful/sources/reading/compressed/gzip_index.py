"""gzip files, read from the middle by an index that is built while they are read, and kept."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from celery_graceful.errors import SourceError
from celery_graceful.sources.reading.compressed.guarded import Guarded
from celery_graceful.sources.reading.compressed.gzip_end import check_end
from celery_graceful.sources.reading.compressed.kept_index import KeptIndex

logger = logging.getLogger("celery_graceful.sources")

_MIB = 1 << 20
_COMPRESSED_READS = 1 << 18
#: Points of the index until it is saved for the first time.
_SAVE_AFTER = 64


@contextmanager
def indexed(
    file: BinaryIO, name: str, size: int, kept: KeptIndex, offset: int
) -> Iterator[BinaryIO]:
    """The content of an open gzip file of ``size`` bytes, to be read from ``offset`` on.

    Raises:
        SourceError: it is truncated or damaged, at the place.
    """
    package = _package(name)
    # 32 KiB of index each. The larger the file, the further apart, so that the index stays small.
    spacing = min(max(size // 512, _MIB), 32 * _MIB)
    inner = package.IndexedGzipFile(
        fileobj=file, spacing=spacing, readbuf_size=_COMPRESSED_READS, buffer_size=1
    )
    try:
        loaded = kept.load(inner)
        # With an index, not before the first item.
        save_at = max(_SAVE_AFTER * spacing, offset * 3 // 2 if loaded else 0)
        pass_ = _Pass(inner, file, name, kept, save_at)
        if offset and not loaded:
            logger.warning(
                "%s: there is no index of this gzip file yet, so what precedes byte %d of its"
                " content is read again, this once; the index will be in %s",
                name,
                offset,
                kept.place,
            )
        raw = inner.raw
        guarded = Guarded(
            raw, name, (package.ZranError, OSError), read=pass_.read, at_end=pass_.at_end
        )
        with guarded.buffered() as content:
            yield content
    finally:
        try:
            kept.save(inner)
        finally:
            inner.close()


class _Pass:
    """Watches what is read: saves the index now and then, and checks what can be checked."""

    def __init__(
        self, inner: Any, file: BinaryIO, name: str, kept: KeptIndex, save_at: int
    ) -> None:
        self._inner, self._file, self._name, self._kept = inner, file, name, kept
        self._save_at = save_at
        self._crc, self._checked = 0, 0

    def read(self, data: memoryview, offset: int) -> None:
        if offset == self._checked:
            self._crc = zlib.crc32(data, self._crc)
            self._checked += len(data)
        if offset > self._save_at:
            # For a process that is killed; by growing steps, since each writes the whole index.
            self._save_at = offset * 3 // 2
            self._kept.save(self._inner)

    def at_end(self, size: int) -> None:
        crc = self._crc if self._checked == size else None
        place = self._file.tell()
        try:
            check_end(self._file, self._name, size, crc)
        finally:
            self._file.seek(place)


def _package(name: str) -> Any:
    try:
        import indexed_gzip
    except ImportError as exc:
        raise SourceError(
            f"{name} is a gzip file, which needs a package: pip install 'celery-graceful[gzip]'"
        ) from exc
    return indexed_gzip
