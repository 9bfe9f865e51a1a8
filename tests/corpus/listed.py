"""The list of public files, and where they are: fetched once, or in a folder that is there."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.parse import quote

FILES = Path(__file__).with_name("files.txt")
#: Bytes of a file, and seconds that fetching it may take.
_LARGEST = 1 << 20
_PATIENCE = 30.0


class Listed(NamedTuple):
    """A file of a public repository at one commit, with the files that are read beside it."""

    repository: str
    commit: str
    path: str
    beside: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """The repository's name as a folder."""
        return self.repository.replace("/", "+")

    def address(self, path: str) -> str:
        """Where one of its files can be fetched from."""
        return f"https://raw.githubusercontent.com/{self.repository}/{self.commit}/{quote(path)}"


def listed(file: Path = FILES) -> Iterator[Listed]:
    """The files of a list: repository, commit and path in a line, what is beside it below."""
    found: Listed | None = None
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("  ") and found is not None:
            found = found._replace(beside=(*found.beside, line.strip()))
            continue
        if found is not None:
            yield found
            found = None
        if line.strip() and not line.startswith("#"):
            repository, commit, path = line.split(" ", 2)
            found = Listed(repository, commit, path)
    if found is not None:
        yield found


def fetch(each: Listed, folder: Path) -> str | None:
    """Fetch what is not there yet; says why a file cannot be had."""
    for path in (each.path, *each.beside):
        target = folder / each.folder / path
        if target.is_file():
            continue
        try:
            with urllib.request.urlopen(each.address(path), timeout=_PATIENCE) as answer:
                data = answer.read(_LARGEST + 1)
        except (URLError, TimeoutError) as exc:
            return f"{each.address(path)}: {exc}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return None
