"""What documents and messages name: files, settings, variables, commands with their options."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import celery_graceful

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(celery_graceful.__file__).parent
#: Not the changelog: it names what was there once.
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "ARCHITECTURE", "CONTRIBUTING", "SECURITY")),
    ROOT / "example_project" / "README.md",
    *sorted((ROOT / "tests").rglob("*.md")),
    *sorted((ROOT / ".github").rglob("*.*")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
#: Files of the reader's own project.
READERS = {"conftest.py", "manage.py", "shop.py"}
#: Folders of it: a Django project, and an app in it.
READERS_FOLDERS = {"webshop", "orders"}

#: A file of the project: with a suffix that only its own files have, or a folder in a code span.
_FILE = re.compile(r"(?<![\w/.:-])[\w.-]+(?:/[\w.-]+)*\.(?:py|md|toml|ini)\b|(?<=`)[\w./-]+/(?=`)")
_COMMAND = re.compile(r"\bgraceful (?P<name>[a-z]+)(?P<rest>[^`\n#|&;)]*)")
_OPTION = re.compile(r"(?<!\S)(--[a-z][a-z-]*|-[A-Za-z])(?!\w)")


class Command(NamedTuple):
    """One that a text tells people to type."""

    name: str
    options: tuple[str, ...]


def files(text: str) -> Iterator[tuple[str, str]]:
    """The files and folders that a text names, each with its line."""
    for line in text.splitlines():
        for match in _FILE.finditer(line):
            yield match[0], line


def exists(name: str, line: str, page: Path) -> bool:
    """Whether ``name`` on a line of a page leads to a file of this repository."""
    if name in READERS or name.partition("/")[0] in READERS_FOLDERS:
        return True
    places = [ROOT, PACKAGE, page.parent, ROOT / "example_project"]
    if "/" not in name:  # beside a file that the line names with its folder
        places += [PACKAGE / Path(other).parent for other, _ in files(line) if "/" in other]
    return any((place / name).exists() for place in places)


def commands(text: str) -> Iterator[Command]:
    """The commands ``graceful …`` in the code of a text."""
    code = re.findall(r"^```\w*\n(.*?)^```$|`([^`]*)`", text, re.MULTILINE | re.DOTALL)
    for block, span in code:
        for match in _COMMAND.finditer(re.sub(r"\s*\\?\n(?=\s)", " ", block or span)):
            if not match[0].startswith("graceful import"):  # from celery_graceful import …
                yield Command(match["name"], tuple(_OPTION.findall(match["rest"])))


def texts_of(source: str) -> Iterator[str]:
    """All texts in a Python source: messages, help, docstrings."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
