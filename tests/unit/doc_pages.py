"""Runs the Python of a documentation page: ``python doc_pages.py PAGE``. Standard library only.

Blocks fenced as ``python`` run from top to bottom in one namespace. What the page claims but need
not show is checked in comments that begin with ``<!-- run``. A block below a comment that begins
with ``<!-- skip:`` does not run; the comment says why.
"""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_FENCE = re.compile(
    r"(?P<skip><!-- skip:[^>]*-->\n)?^```python\n(?P<shown>.*?)^```$"
    r"|^<!-- run\n(?P<hidden>.*?)^-->$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """Some Python of a page and the line it begins at."""

    code: str
    line: int
    skipped: bool


def blocks(text: str) -> Iterator[Block]:
    """All Python in a page's text, in its order."""
    for match in _FENCE.finditer(text):
        group = "shown" if match["hidden"] is None else "hidden"
        line = text.count("\n", 0, match.start(group)) + 1
        yield Block(match[group], line, match["skip"] is not None)


def skipped(text: str) -> int:
    """How many blocks of a page do not run."""
    return sum(block.skipped for block in blocks(text))


def run(page: Path) -> None:
    """Run a page's blocks; what they raise shows the page's own lines."""
    # A module of its own: Celery names tasks after it.
    module = types.ModuleType("shop")
    sys.modules["shop"] = module
    for block in blocks(page.read_text(encoding="utf-8")):
        if not block.skipped:
            code = "\n" * (block.line - 1) + block.code
            exec(compile(code, str(page), "exec"), module.__dict__)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
