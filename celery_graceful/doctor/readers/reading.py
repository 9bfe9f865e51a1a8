"""From files to workers: which reader a file is for, by its content first, then by its name."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from celery_graceful.doctor.facts import Deployed, Place
from celery_graceful.doctor.readers.compose import is_compose, read_compose
from celery_graceful.doctor.readers.dockerfile import is_dockerfile, read_dockerfile
from celery_graceful.doctor.readers.kubernetes import is_manifest, read_manifest
from celery_graceful.doctor.readers.outcome import Outcome, Trouble
from celery_graceful.doctor.readers.procfile import is_procfile, read_procfile
from celery_graceful.doctor.readers.script import is_script, read_script
from celery_graceful.doctor.readers.supervisord import is_supervisord, read_supervisord
from celery_graceful.doctor.readers.systemd import is_unit, read_unit
from celery_graceful.doctor.readers.texts import MOST, text_of
from celery_graceful.doctor.readers.yaml_tree import Node, NotYaml, documents

__all__ = ["read_file", "read_files", "read_text"]

STDIN, STDIN_NAME = "-", "<stdin>"
_KINDS = "Kubernetes, docker-compose, Dockerfile, systemd, supervisord, Procfile, entry script"
_YAML = (".yaml", ".yml", ".json")


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
    """What is in a folder beside the files for workers is nobody's trouble."""
    inside = [_ours(read_file(str(path))) for path in _inside(folder)]
    found = [each for each in inside if each != Outcome(each.file)]
    return found or [_with_workers(Outcome(str(folder)))]


def _ours(outcome: Outcome) -> Outcome:
    troubles = tuple(each for each in outcome.troubles if not isinstance(each, UnknownKind))
    return replace(outcome, troubles=troubles)


def read_file(name: str) -> Outcome:
    """Read one file; never raises for what stands in it."""
    if name == STDIN:
        return _read_stdin()
    path = _unit_of(Path(name))
    try:
        return read_text(text_of(path, strict=True), str(path))
    except Trouble as trouble:
        return _failed(trouble)


def _read_stdin() -> Outcome:
    text = sys.stdin.read(MOST + 1)
    if len(text) > MOST:
        what = f"it is larger than {MOST >> 20} MiB, and was not read"
        return _failed(Trouble(Place(STDIN_NAME), what, "pass on what deploys workers"))
    return read_text(text, STDIN_NAME)


def read_text(text: str, file: str) -> Outcome:
    """The workers that a file's text deploys."""
    try:
        found = list(_workers(text, file))
        return Outcome(
            file,
            tuple(each for each in found if each.command.is_worker),
            tuple(each for each in found if each.command.supervises),
        )
    except Trouble as trouble:
        return _failed(trouble)
    except RecursionError:
        return _failed(Trouble(Place(file), "it is nested too deeply", "write it flat"))


def _workers(text: str, file: str) -> Iterator[Deployed]:
    name = Path(file).name
    if is_script(text):
        yield from read_script(text, file)
    elif is_supervisord(text):
        yield from read_supervisord(text, file)
    elif is_unit(text):
        yield from read_unit(text, file)
    elif is_dockerfile(text) and not name.endswith(_YAML):
        yield from read_dockerfile(text, file)
    elif is_procfile(text) and not name.endswith(_YAML):
        yield from read_procfile(text, file)
    else:
        yield from _yaml_workers(text, file)


def _yaml_workers(text: str, file: str) -> Iterator[Deployed]:
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
        if file.endswith(_YAML) or file == STDIN_NAME:
            raise
        return []


def _unit_of(path: Path) -> Path:
    """For a systemd drop-in, the unit that it changes, if that lies beside it."""
    if path.suffix == ".conf" and path.parent.name.endswith(".service.d"):
        unit = path.parent.with_name(path.parent.name.removesuffix(".d"))
        return unit if unit.is_file() else path
    return path


def _inside(folder: Path) -> list[Path]:
    paths = sorted(folder.rglob("*"))
    return [path for path in paths if path.is_file() and _may_be(path.relative_to(folder))]


def _may_be(path: Path) -> bool:
    """By its path within the folder that was named, whose own name may begin with a dot."""
    known = (*_YAML, ".service", ".ini", ".conf", ".sh")
    hidden = any(part.startswith(".") for part in path.parts)
    named = path.name.startswith(("Dockerfile", "Procfile")) or path.suffix in known
    return named and not hidden and not path.parent.name.endswith(".service.d")


def _with_workers(outcome: Outcome) -> Outcome:
    """What was named has to deploy a worker: else nothing was examined."""
    if outcome != Outcome(outcome.file):
        return outcome
    return Outcome(outcome.file, troubles=(NoWorker(outcome.file),))


class UnknownKind(Trouble):
    """A file that none of the readers is for."""

    def __init__(self, file: str) -> None:
        super().__init__(
            Place(file), "its kind is not known", f"one of these can be read: {_KINDS}"
        )


class NoWorker(Trouble):
    """A file or folder that can be read, but has no worker in it."""

    def __init__(self, file: str) -> None:
        super().__init__(
            Place(file),
            "it starts no Celery worker that can be recognised",
            "name the file that has the worker's command line: celery -A … worker",
        )


def _failed(trouble: Trouble) -> Outcome:
    return Outcome(trouble.place.file, troubles=(trouble,))
