"""Celery's tests: in the source distribution of a release, not in what pip installs."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path, PurePosixPath

#: What the plugin might change: results, canvases, remote control, workers.
FILES = tuple(f"t/integration/test_{name}.py" for name in ("canvas", "tasks", "inspect", "worker"))
#: pytest reads how to collect them from there.
_CONFIGURATION = "pyproject.toml"


def version_of(python: Path) -> str:
    """The Celery release that is installed beside a Python."""
    return _output([str(python), "-c", "import celery; print(celery.__version__)"]).strip()


def fetch(version: str, cache: Path) -> Path:
    """The folder with the tests of a release; fetched with pip when ``cache`` has it not yet."""
    tree = cache / f"celery-{version}"
    if not (tree / FILES[0]).exists():
        _unpack(_download(version, cache), cache)
    return tree


def _download(version: str, cache: Path) -> Path:
    archive = cache / f"celery-{version}.tar.gz"
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        _output(
            [
                *(sys.executable, "-m", "pip", "download", "--disable-pip-version-check"),
                *("--no-deps", "--no-binary", "celery", "--dest", str(cache)),
                f"celery=={version}",
            ]
        )
    return archive


def _unpack(archive: Path, cache: Path) -> None:
    """The tests alone: beside them, Celery itself would hide the one that is installed."""
    with tarfile.open(archive) as source:
        for member in source:
            parts = PurePosixPath(member.name).parts
            if parts[1:2] == ("t",) or parts[1:] == (_CONFIGURATION,):
                source.extract(member, cache, filter="data")


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(
            f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done.stdout
