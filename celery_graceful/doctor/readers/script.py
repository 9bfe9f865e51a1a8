"""Entry scripts: what an image or a Procfile starts in place of ``celery`` itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from posixpath import basename, join, normpath, relpath
from typing import NamedTuple

from celery_graceful.doctor.command import Command
from celery_graceful.doctor.facts import Deployed, Manager, Place
from celery_graceful.doctor.parse import workers_in_script
from celery_graceful.doctor.readers.outcome import MissingPackage, Trouble
from celery_graceful.doctor.readers.texts import text_of
from celery_graceful.doctor.shell import NoShellParser, UnreadableShell
from celery_graceful.doctor.worker_search import Finder, ScriptFile


def is_script(text: str, file: str = "") -> bool:
    """Whether a text is a script for a shell, by its first line or by its name."""
    named = file.endswith((".sh", ".bash")) and not text.startswith("#!")
    return named or ScriptFile(text, "").shell is not None


def read_script(text: str, file: str) -> Iterator[Deployed | Trouble]:
    """The workers that a script starts. Who runs the script, and with what, is not known."""
    place = Place(file, 1)
    for command in commands_or_trouble(lambda: workers_in_script(ScriptFile(text, file)), place):
        if isinstance(command, Trouble):
            yield command
        else:
            yield Deployed(
                manager=Manager.SCRIPT,
                name="the script",
                place=place_of(command, place),
                command=command,
            )


def place_of(command: Command, entry: Place) -> Place:
    """Where a worker's words are within the manager's entry for it."""
    inside = command.line and command.file == entry.file
    return Place(entry.file, command.line) if inside else entry


def commands_or_trouble(
    parse: Callable[[], list[Command]], place: Place
) -> Iterator[Command | Trouble]:
    """The commands that are parsed, or why they cannot be."""
    try:
        yield from parse()
    except NoShellParser:
        yield MissingPackage(place, "tree-sitter-bash", "this shell command")
    except UnreadableShell:
        what = "the shell command here is larger than any that starts a worker, and was not read"
        yield Trouble(
            place, what, "name the part of it that starts workers, as a script of its own"
        )


#: More than any image is made of.
_MOST_COPIED = 500


class Copied(NamedTuple):
    """A file or folder of the project, and where it is in the image."""

    source: str
    target: str
    #: The folder that paths begin in at that point.
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
