"""Open a file where a run left it: the same file, decompressed, at the byte of the cursor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Literal, TypeAlias

from celery_graceful.errors import CursorError, SourceError
from celery_graceful.sources.reading.compressed.formats import HEAD, Compression, compression_of
from celery_graceful.sources.reading.fingerprints import (
    Position,
    digest,
    fingerprint,
    what_changed,
)
from celery_graceful.sources.reading.origins.choice import origin_of
from celery_graceful.sources.reading.origins.openable import Origin, Raw
from celery_graceful.text.counting import counted

#: ``"error"``: a file that is not the one of the cursor raises; ``"ignore"``: it is not looked at.
Changed: TypeAlias = Literal["error", "ignore"]


START = Position(0, None)


@dataclass(frozen=True)
class Opened:
    """An open file.

    Attributes:
        name: what it is called in errors.
        file: its content: seekable, except from its end.
        fingerprint: what a cursor in it is saved with.
    """

    name: str
    file: BinaryIO
    fingerprint: str

    def check_offset(self, source: str, offset: int) -> None:
        """Refuse an offset that is not between two lines.

        Raises:
            CursorError: naming ``source``.
        """
        if not offset:
            return
        reached = self.file.seek(offset - 1)
        around = self.file.read(2)
        if not around or reached < offset - 1:
            raise CursorError(
                f"{source}: cursor {offset} is beyond the end of {self.name}"
                f" ({counted(self.file.tell(), 'byte')}); the file is not the one that the run"
                " began with"
            )
        # The second byte: a file without a last line end, to which lines were appended.
        if len(around) == 2 and not set(around) & set(b"\r\n"):
            raise CursorError(
                f"{source}: cursor {offset} is in the middle of a line of {self.name};"
                " the file is not the one that the run began with"
            )


@contextmanager
def opened(
    source: object,
    position: Position = START,
    *,
    compression: Compression = "auto",
    changed: Changed = "error",
) -> Iterator[Opened]:
    """Open a file to be read from ``position``.

    Args:
        source: see :func:`~celery_graceful.sources.reading.origins.choice.origin_of`.
        position: of the cursor.
        compression: what to take the file for, if not for what its first bytes say.
        changed: what to do about a file that is not the one of the cursor.

    Raises:
        SourceError: the file changed, is compressed in a way that cannot be resumed, or is damaged.
    """
    if changed not in ("error", "ignore"):
        raise ValueError(f'changed={changed!r}: there are "error" and "ignore"')
    origin = origin_of(source)
    raw = origin.open()
    with raw.file:
        mark = _fingerprint(origin, raw, position, changed)
        head = raw.file.read(HEAD)
        raw.file.seek(0)
        kind = compression_of(origin.name, head, compression)
        if kind is None:
            yield Opened(origin.name, raw.file, mark)
        elif kind == "zstd":
            from celery_graceful.sources.reading.compressed.zstd_frames import frames

            with frames(raw.file, origin.name) as content:
                yield Opened(origin.name, content, mark)
        else:
            from celery_graceful.sources.reading.compressed.gzip_index import indexed
            from celery_graceful.sources.reading.compressed.kept_index import KeptIndex

            kept = KeptIndex(origin.name, origin.path, mark)
            with indexed(raw.file, origin.name, raw.size, kept, position.offset) as content:
                yield Opened(origin.name, content, mark)


def _fingerprint(origin: Origin, raw: Raw, position: Position, changed: Changed) -> str:
    """The fingerprint of the file as it is now.

    Raises:
        SourceError: it is not the one of the cursor, and that matters.
    """
    digest_of = None if raw.version is not None else partial(digest, raw.file)
    mark = fingerprint(raw.size, raw.version or digest(raw.file, raw.size))
    if changed == "error" and position.fingerprint is not None:
        difference = what_changed(position.fingerprint, mark, digest_of)
        if difference is not None:
            raise SourceError(
                f"{origin.name} changed since the cursor was saved:"
                f" {difference}. Restore the file and retry; or start a new run; or, if the"
                ' cursor is right in the new file as well, pass changed="ignore"'
            )
    return mark
