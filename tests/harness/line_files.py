"""Reading a file of lines while other processes append to it."""

from __future__ import annotations

from pathlib import Path


def whole_lines(path: Path) -> list[str]:
    """The finished lines of a file, without their line ends; none when there is no file yet.

    A line is appended in one write, but not seen in one: where it crosses a page of the page cache,
    Linux shows the file's new size a page at a time. So what follows the last line end is a line
    that is being written, and belongs to the next look.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    return data[: data.rfind(b"\n") + 1].decode().split("\n")[:-1]
