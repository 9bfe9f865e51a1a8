"""From files to workers: which reader a file is for, by its content first, then by its name."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from celery_graceful.doctor.facts import Deployed, Place
from celery_graceful.doctor.readers.compose import read_compose
from celery_graceful.doctor.readers.compose_model import base_of, is_compose
from celery_graceful.doctor.readers.dockerfile import is_dockerfile, read_dockerfile
from celery_graceful.doctor.readers.kubernetes import is_manifest, read_manifest
from celery_graceful.doctor.readers.outcome import Outcome, Trouble
from celery_graceful.doctor.readers.procfile import is_procfile, read_procfile
from celery_graceful.doctor.readers.script import is_script, read_script
from celery_graceful.doctor.readers.supervisord import is_supervisord, read_supervisord
from celery_graceful.doctor.readers.systemd import is_unit, read_unit
from celery_graceful.doctor.readers.texts import MOST, plain, text_of, with_plain_blanks
from celery_graceful.doctor.readers.yaml_tree import Node, NotYaml, documents, template

STDIN, STDIN_NAME = "-", "<stdin>"
_KINDS = "Kubernetes, docker-compose, Dockerfile, systemd, supervisord, Procfile, entry script"
_HELM_VALUES = re.compile(r"values[\w.-]*\.ya?ml$")
_TEMPLATES = (".tpl", ".j2", ".jinja", ".jinja2", ".erb")
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
    path = _changed_by(Path(name))
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
        found = list(_workers(plain(text), file))
        if not found and file.endswith(_TEMPLATES):
            raise template(file, text)
        deployed = [each for each in found if isinstance(each, Deployed)]
        return Outcome(
            file,
            tuple(each for each in deployed if each.command.is_worker),
            tuple(each for each in deployed if each.command.supervises),
            tuple(each for each in found if isinstance(each, Trouble)),
        )
    except Trouble as trouble:
        return _failed(trouble)
    except RecursionError:
        return _failed(Trouble(Place(file), "it is nested too deeply", "write it flat"))


def _workers(text: str, file: str) -> Iterator[Deployed | Trouble]:
    name, filled = Path(file).name, with_plain_blanks(text)
    if is_script(filled, file):
        yield from read_script(filled, file)
    elif is_supervisord(filled):
        yield from read_supervisord(filled, file)
    elif is_unit(filled):
        yield from read_unit(filled, file)
    elif is_dockerfile(filled) and not name.endswith(_YAML):
        yield from read_dockerfile(filled, file)
    elif name.startswith("Procfile") or (is_procfile(filled) and not name.endswith(_YAML)):
        yield from read_procfile(filled, file)
    else:
        yield from _yaml_workers(text, file)


def _yaml_workers(text: str, file: str) -> Iterator[Deployed | Trouble]:
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
        raise UnknownKind(file) if not _HELM_VALUES.search(file) else HelmValues(file)


def _documents(text: str, file: str) -> list[Node]:
    try:
        return list(documents(text, file))
    except NotYaml:
        if file.endswith(_YAML) or file == STDIN_NAME:
            raise
        return []


def _changed_by(path: Path) -> Path:
    """For a drop-in or an override file, what it changes, if that lies beside it."""
    if path.suffix == ".conf" and path.parent.name.endswith(".service.d"):
        unit = path.parent.with_name(path.parent.name.removesuffix(".d"))
        return unit if unit.is_file() else path
    return base_of(path)


def _inside(folder: Path) -> list[Path]:
    paths = sorted(folder.rglob("*"))
    return [
        path
        for path in paths
        if path.is_file() and _may_be(path.relative_to(folder)) and _changed_by(path) == path
    ]


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


class HelmValues(UnknownKind):
    """What fills in the templates of a chart."""

    def __init__(self, file: str) -> None:
        Trouble.__init__(
            self,
            Place(file),
            "these are values for a Helm chart, not a manifest",
            f"render the chart with them: helm template . -f {Path(file).name} > rendered.yaml",
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
