"""The Dockerfiles of a project, for containers whose image is built somewhere else.

A manifest names an image and a script in it, such as ``command: ["/start-celeryworker"]``; which
Dockerfile put it there is not said. All of the project are searched.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from os.path import normpath
from pathlib import Path

from celery_graceful.doctor.commands.shell_text import Finder, ScriptFile
from celery_graceful.doctor.readers.dockerfile import images
from celery_graceful.doctor.readers.entry_scripts import Copied, finder
from celery_graceful.doctor.readers.texts import text_of

#: How many folders above a file the project may begin, and how deep in it Dockerfiles may be.
_ABOVE, _DEEPEST = 4, 5
#: More than any project has; a folder that is no project is not searched to its end.
_MOST_FOLDERS, _MOST_DOCKERFILES = 1000, 20
_FOREIGN = frozenset({"node_modules", "site-packages", "venv", "vendor"})
#: Parts of paths of images that are not deployed: taken where nothing else has the script.
_NOT_DEPLOYED = frozenset({"local", "dev", "development", "test", "tests", "docs", "ci"})


def project_finder(file: str) -> Finder:
    """Finds scripts that an image of the project has, whichever it is; looked for when needed.

    Args:
        file: the manifest; its project is the nearest folder above it with a ``.git``, or else the
            file's own folder.
    """

    @cache
    def images_of_project() -> Finder:
        root = _root(Path(file))
        found = [(path, copied) for path in _dockerfiles(root) for copied in _copied(path)]
        folders = [root, *dict.fromkeys(path.parent for path, _ in found)]
        return finder((copied for _, copied in found), folders)

    def find(word: str) -> ScriptFile | None:
        return images_of_project()(word) if Path(file).is_file() else None

    return find


def _root(file: Path) -> Path:
    for above in list(file.absolute().parents)[: _ABOVE + 1]:
        if (above / ".git").exists():
            return above if file.is_absolute() else Path(os.path.relpath(above))
    return file.parent


def _dockerfiles(root: Path) -> list[Path]:
    found: list[Path] = []
    for number, (folder, below, files) in enumerate(os.walk(root)):
        if number >= _MOST_FOLDERS or len(found) >= _MOST_DOCKERFILES:
            break
        inside = Path(folder).relative_to(root).parts
        deeper = len(inside) < _DEEPEST
        below[:] = sorted(b for b in below if deeper and b[0] != "." and b not in _FOREIGN)
        found += [Path(folder, name) for name in sorted(files) if name.startswith("Dockerfile")]
    return sorted(found[:_MOST_DOCKERFILES], key=lambda path: _is_not_deployed(path, root))


def _is_not_deployed(path: Path, root: Path) -> bool:
    parts = {*path.relative_to(root).parts[:-1], path.name.partition(".")[2]}
    return not _NOT_DEPLOYED.isdisjoint(parts)


def _copied(path: Path) -> Iterator[Copied]:
    for image in images(text_of(path), normpath(path)).values():
        yield from image.copied
