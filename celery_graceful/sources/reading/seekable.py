"""``python -m celery_graceful.sources.reading.seekable FILE``: make a seekable zstd file of it."""

from __future__ import annotations

import argparse
import bz2
import lzma
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from celery_graceful.errors import SourceError
from celery_graceful.sources.reading.compressed.formats import HEAD
from celery_graceful.sources.reading.compressed.zstd_frames import package

#: What is decompressed at most to reach a line.
_FRAME = 1 << 20
_SUFFIXES = {".zst", ".zstd", ".gz", ".bz2", ".xz", ".lzma"}


def main(arguments: list[str] | None = None) -> int:
    """Convert the file that the command line names; returns the exit code."""
    options = _options(arguments)
    source: Path = options.file
    target = options.output or source.parent / f"{_plain_name(source.name)}.zst"
    if target == source:
        target = source.parent / f"{_plain_name(source.name)}.seekable.zst"
    try:
        convert(source, target)
    except (OSError, SourceError, EOFError, lzma.LZMAError) as exc:
        print(f"{source} was not converted: {exc}", file=sys.stderr)
        return 1
    print(target)
    return 0


def convert(source: Path, target: Path) -> None:
    """Write what ``source`` contains to ``target``, in zstd frames of 1 MiB and with their table.

    Raises:
        FileExistsError: there is a file ``target``.
        SourceError: pyzstd is not installed.
        EOFError: ``source`` is truncated; then there is no ``target``.
    """
    pyzstd = package(str(source))
    if target.exists():
        raise FileExistsError(f"{target} exists; give another name with --output")
    part = target.with_name(target.name + ".part")
    options: dict[int, int] = {pyzstd.CParameter.checksumFlag: 1}
    try:
        with (
            _content(source, pyzstd) as content,
            pyzstd.SeekableZstdFile(
                part, "w", level_or_option=options, max_frame_content_size=_FRAME
            ) as frames,
        ):
            shutil.copyfileobj(content, frames, _FRAME)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def _content(source: Path, pyzstd: Any) -> Any:
    with open(source, "rb") as file:
        head = file.read(HEAD)
    if head[:4] == b"\x28\xb5\x2f\xfd" or head[1:4] == b"\x2a\x4d\x18":
        return pyzstd.ZstdFile(source)
    if head[:2] == b"\x1f\x8b":
        import gzip

        return gzip.open(source)
    if head[:3] == b"BZh":
        return bz2.open(source)
    if head[:6] == b"\xfd7zXZ\x00" or head[:3] == b"\x5d\x00\x00":
        return lzma.open(source)
    return open(source, "rb")


def _plain_name(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in _SUFFIXES else name


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m celery_graceful.sources.reading.seekable",
        description="Make a zstd file that can be read from its middle of a plain file or of one"
        " that is compressed by zstd, gzip, bzip2 or xz. The original is kept.",
    )
    parser.add_argument("file", type=Path)
    parser.add_argument(
        "--output", type=Path, help="the new file; default: its name with .zst in place of .xz"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
