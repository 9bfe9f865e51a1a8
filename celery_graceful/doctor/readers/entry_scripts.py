"""Procfiles and entry scripts, and the search for the scripts that a command names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from posixpath import basename, join, normpath, relpath
from typing import NamedTuple

from celery_graceful.doctor.commands.search import workers_in_script, workers_in_text
from celery_graceful.doctor.commands.shell_text import Finder, ScriptFile
from celery_graceful.doctor.facts import Deployed, Manager, Place
from celery_graceful.doctor.readers.entry import Entry
from celery_graceful.doctor.readers.texts import YAML, env_file, text_of

#: As foreman and honcho have it; they skip every other line.
_LINE = re.compile(r"^(?P<name>[A-Za-z0-9_-]+):\s*(?P<command>\S.*)$")
#: More files than any image copies.
_MOST_COPIED = 500


def is_script(text: str, file: str) -> bool:
    """Whether a text is a script for a shell, by its first line or by its name."""
    named = file.endswith((".sh", ".bash")) and not text.startswith("#!")
    return named or ScriptFile(text, "").shell is not None


def read_script(text: str, file: str) -> Iterator[Entry]:
    """The script as a whole. What runs it, and with which arguments, is not known."""
    worker = Deployed(Manager.SCRIPT, "the script", Place(file, 1))
    yield Entry(worker, lambda: workers_in_script(ScriptFile(text, file)))


def is_procfile(text: str, file: str) -> bool:
    """Whether a file is called so, or every line that is no comment is ``name: command``."""
    lines = [line for line in text.split("\n") if line.strip() and not line.startswith("#")]
    if Path(file).name.startswith("Procfile"):
        return True
    return bool(lines) and not file.endswith(YAML) and all(_LINE.match(line) for line in lines)


def read_procfile(text: str, file: str) -> Iterator[Entry]:
    """The processes, with the ``.env`` beside the file. How long they get to stop is not known."""
    # Of two lines with one name, the second counts.
    lines = {
        match["name"]: (match["command"], number)
        for number, line in enumerate(text.split("\n"), 1)
        if (match := _LINE.match(line)) is not None
    }
    path = Path(file)
    find = finder((), (path.parent,))
    for name, (command, line) in lines.items():
        worker = Deployed(
            Manager.PROCFILE,
            f"process {name}",
            Place(file, line),
            environment=env_file(path.with_name(".env")),
        )
        yield Entry(worker, partial(workers_in_text, command, find=find, line=line, file=file))


class Copied(NamedTuple):
    """A file or folder of the project, and where it is in the image."""

    source: str
    target: str
    #: The folder that relative paths begin in at that point.
    workdir: str = "/"


def finder(copied: Iterable[Copied], folders: Iterable[Path], workdir: str = "/") -> Finder:
    """Finds the scripts of an image among the files of the project.

    Args:
        copied: what is put into the image, the last first.
        folders: where the paths of the sources may begin.
        workdir: where relative paths in the image begin.
    """
    sources, roots = tuple(islice(copied, _MOST_COPIED)), tuple(folders)

    def find(word: str) -> ScriptFile | None:
        for name in _names(word, sources, workdir):
            for root in roots:
                path = root / name
                if path.is_file():
                    return ScriptFile(text_of(path), normpath(path))
        return None

    return find


def _names(word: str, copied: tuple[Copied, ...], workdir: str) -> Iterator[str]:
    """What a program of the image may be called in the project."""
    if "$" in word or word[:1] == "-" or "\0" in word or len(word) > 1000:
        return
    wanted = normpath(join(workdir, word)) if "/" in word else None
    for each in copied:
        target = join(each.workdir, each.target)
        inside = join(target, basename(each.source))
        if wanted is None:
            if word in (basename(target), basename(inside)):
                yield each.source.lstrip("/")
        elif wanted in (normpath(target), normpath(inside)):
            yield each.source.lstrip("/")
        if wanted is not None and wanted.startswith(f"{normpath(target).rstrip('/')}/"):
            yield join(each.source.lstrip("/") or ".", relpath(wanted, normpath(target)))
    if wanted is not None and not word.startswith("/"):
        yield word
