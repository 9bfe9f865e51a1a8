"""Readers of the files that deploy workers: which reader a file is for, and what it finds."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from celery_graceful.doctor.facts import Deployed, Place
from celery_graceful.doctor.readers.compose import read_compose
from celery_graceful.doctor.readers.compose_project import base_of, is_compose
from celery_graceful.doctor.readers.dockerfile import is_dockerfile, read_dockerfile
from celery_graceful.doctor.readers.entry import Entry, NoWorker, Outcome, Trouble
from celery_graceful.doctor.readers.entry_scripts import (
    is_procfile,
    is_script,
    read_procfile,
    read_script,
)
from celery_graceful.doctor.readers.ini_files import (
    is_supervisord,
    is_unit,
    read_supervisord,
    read_unit,
)
from celery_graceful.doctor.readers.kubernetes_manifest import is_manifest, read_manifest
from celery_graceful.doctor.readers.texts import MOST, YAML, plain, text_of, with_plain_blanks
from celery_graceful.doctor.readers.yaml_tree import Node, NotYaml, documents, template

STDIN, STDIN_NAME = "-", "<stdin>"
_KINDS = "Kubernetes, docker-compose, Dockerfile, systemd, supervisord, Procfile, entry script"
_HELM_VALUES = re.compile(r"values[\w.-]*\.ya?ml$")
_TEMPLATES = (".tpl", ".j2", ".jinja", ".jinja2", ".erb")


class Reader(NamedTuple):
    """Reads one kind of text."""

    fits: Callable[[str, str], bool]
    read: Callable[[str, str], Iterator[Entry]]


#: The first that fits a text and its name reads it; where none does, it is YAML, or unknown.
READERS = (
    Reader(is_script, read_script),
    Reader(is_supervisord, read_supervisord),
    Reader(is_unit, read_unit),
    Reader(is_dockerfile, read_dockerfile),
    Reader(is_procfile, read_procfile),
)


def read_files(names: Iterable[str]) -> list[Outcome]:
    """Read files; of a folder, all files in it that are of a known kind.

    Args:
        names: paths; ``-`` is the standard input.
    """
    found: list[Outcome] = []
    for name in names:
        if name != STDIN and Path(name).is_dir():
            found += _read_folder(Path(name))
        else:
            found.append(_with_workers(read_file(name)))
    return found


def _read_folder(folder: Path) -> list[Outcome]:
    """Files of other kinds are no trouble in a folder."""
    found = []
    for path in _inside(folder):
        outcome = read_file(str(path))
        troubles = tuple(each for each in outcome.troubles if not isinstance(each, UnknownKind))
        if outcome.workers or outcome.supervisors or troubles:
            found.append(replace(outcome, troubles=troubles))
    return found or [_with_workers(Outcome(str(folder)))]


def read_file(name: str) -> Outcome:
    """Read one file; never raises for what is in it."""
    if name == STDIN:
        text = sys.stdin.read(MOST + 1)
        if len(text) <= MOST:
            return read_text(text, STDIN_NAME)
        what = f"it is larger than {MOST >> 20} MiB, and was not read"
        return _failed(Trouble(Place(STDIN_NAME), what, "pass only what deploys workers"))
    path = _changed_by(Path(name))
    try:
        return read_text(text_of(path, strict=True), str(path))
    except Trouble as trouble:
        return _failed(trouble)


def read_text(text: str, file: str) -> Outcome:
    """The workers that a file's text deploys."""
    try:
        found = [each for entry in _entries(plain(text), file) for each in entry.workers()]
        if not found and file.endswith(_TEMPLATES):
            raise template(file, text)
    except Trouble as trouble:
        return _failed(trouble)
    except RecursionError:
        return _failed(Trouble(Place(file), "it is nested too deeply", "reduce its nesting"))
    deployed = [each for each in found if isinstance(each, Deployed)]
    return Outcome(
        file,
        tuple(each for each in deployed if each.command.is_worker),
        tuple(each for each in deployed if each.command.supervises),
        tuple(each for each in found if isinstance(each, Trouble)),
    )


def _entries(text: str, file: str) -> Iterator[Entry]:
    filled = with_plain_blanks(text)
    for reader in READERS:
        if reader.fits(filled, file):
            return reader.read(filled, file)
    return _in_yaml(text, file)


def _in_yaml(text: str, file: str) -> Iterator[Entry]:
    known = False
    for document in _documents(text, file):
        if is_manifest(document):
            known = True
            yield from read_manifest(document)
        elif is_compose(document):
            known = True
            yield from read_compose(document)
        else:
            known = known or not document.given
    if not known:
        raise UnknownKind(file)


def _documents(text: str, file: str) -> list[Node]:
    try:
        return list(documents(text, file))
    except NotYaml:
        if file.endswith(YAML) or file == STDIN_NAME:
            raise
        return []


def _changed_by(path: Path) -> Path:
    """For a drop-in or an override file, what it changes, if that is beside it."""
    if path.suffix == ".conf" and path.parent.name.endswith(".service.d"):
        unit = path.parent.with_name(path.parent.name.removesuffix(".d"))
        return unit if unit.is_file() else path
    return base_of(path)


def _inside(folder: Path) -> list[Path]:
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and _may_be(path.relative_to(folder)) and _changed_by(path) == path
    ]


def _may_be(path: Path) -> bool:
    """By its path within the folder that was named, whose own name may begin with a dot."""
    known = (*YAML, ".service", ".ini", ".conf", ".sh")
    hidden = any(part.startswith(".") for part in path.parts)
    named = path.name.startswith(("Dockerfile", "Procfile")) or path.suffix in known
    return named and not hidden and not path.parent.name.endswith(".service.d")


def _with_workers(outcome: Outcome) -> Outcome:
    """What was named has to deploy a worker: else nothing was examined."""
    if outcome != Outcome(outcome.file):
        return outcome
    return Outcome(outcome.file, troubles=(NoWorker(outcome.file),))


def _failed(trouble: Trouble) -> Outcome:
    return Outcome(trouble.place.file, troubles=(trouble,))


class UnknownKind(Trouble):
    """A file that no reader is for."""

    def __init__(self, file: str) -> None:
        what, fix = "its kind is unknown", f"name a file of one of these kinds: {_KINDS}"
        if _HELM_VALUES.search(file):
            what, name = "these are values for a Helm chart, not a manifest", Path(file).name
            fix = f"render the chart with them: helm template . -f {name} > rendered.yaml"
        super().__init__(Place(file), what, fix)
