"""Which compression a file has, and what to do about those that cannot be resumed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from celery_graceful.errors import SourceError

#: ``"auto"``: as the first bytes say; ``None``: not compressed, whatever they are.
Compression: TypeAlias = Literal["auto", "gzip", "zstd"] | None

#: So many first bytes tell all that is known here.
HEAD = 12

_READ: tuple[tuple[Literal["gzip", "zstd"], Callable[[bytes], bool], tuple[str, ...]], ...] = (
    ("gzip", lambda head: head[:3] == b"\x1f\x8b\x08", (".gz", ".gzip")),
    (
        "zstd",
        # The second: a frame of metadata, with which some writers begin.
        lambda head: head[:4] == b"\x28\xb5\x2f\xfd" or head[1:4] == b"\x2a\x4d\x18",
        (".zst", ".zstd"),
    ),
)
_CONVERT = "python -m celery_graceful.sources.reading.seekable {name}"
_REFUSED: tuple[tuple[str, Callable[[bytes], bool], tuple[str, ...], str], ...] = (
    (
        "bzip2",
        lambda head: head[:3] == b"BZh" and head[4:10] == b"1AY&SY",
        (".bz2",),
        _CONVERT,
    ),
    ("xz", lambda head: head[:6] == b"\xfd7zXZ\x00", (".xz",), _CONVERT),
    ("lzma", lambda head: head[:5] == b"\x5d\x00\x00\x80\x00", (".lzma",), _CONVERT),
    ("zip", lambda head: head[:4] == b"PK\x03\x04", (".zip",), "unzip {name}"),
    ("lz4", lambda head: head[:4] == b"\x04\x22\x4d\x18", (".lz4",), "lz4 -d {name}"),
    ("7z", lambda head: head[:6] == b"7z\xbc\xaf\x27\x1c", (".7z",), "7z x {name}"),
    ("compress", lambda head: head[:2] == b"\x1f\x9d", (".z",), "gzip -d {name}"),
    ("brotli", lambda head: False, (".br",), "brotli -d {name}"),
    ("snappy", lambda head: head[:10] == b"\xff\x06\x00\x00sNaPpY", (".sz",), "snunzip {name}"),
)


def compression_of(name: str, head: bytes, asked: Compression) -> Literal["gzip", "zstd"] | None:
    """How the file ``name`` is compressed, by its first bytes; ``None``: it is not.

    Raises:
        SourceError: it is compressed in a way that cannot be resumed, or is not what its name or
            ``asked`` says.
    """
    if asked is None or not head:
        return None
    if asked not in ("auto", "gzip", "zstd"):
        raise SourceError(
            f'compression={asked!r} of {name}: there are "auto", "gzip", "zstd" and None'
            " (not compressed)"
        )
    seen = next((kind for kind, begins, _ in _READ if begins(head)), None)
    if asked == "auto":
        _refuse_others(name, head)
        suffixes = {suffix: kind for kind, _, all_ in _READ for suffix in all_}
        expected = next((k for s, k in suffixes.items() if name.lower().endswith(s)), seen)
    else:
        expected = asked
    if expected is not None and seen != expected:
        raise SourceError(
            f"{name} is not a {expected} file: it begins with {head[:4].hex(' ')};"
            " pass compression=None if it is not compressed"
        )
    return seen


def _refuse_others(name: str, head: bytes) -> None:
    for kind, begins, _, command in _REFUSED:
        if begins(head):
            raise SourceError(
                f"{name} is compressed by {kind}, which cannot be read from its middle; convert it:"
                f" {command.format(name=name)}"
            )
    for kind, _, suffixes, command in _REFUSED:
        if name.lower().endswith(suffixes):
            raise SourceError(
                f"{name} has the name of a file compressed by {kind}, which cannot be read from its"
                f" middle; convert it ({command.format(name=name)}), or pass compression=None if it"
                " is not compressed"
            )


def convert_command(name: str) -> str:
    """The command that makes a seekable file of the compressed file ``name``."""
    return _CONVERT.format(name=name)
