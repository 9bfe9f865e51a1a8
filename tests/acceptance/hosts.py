"""Worker processes that differ from this one: their clock is wrong, or their package another."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.harness.worker import ROOT

#: Python reads it before anything else; spawned children do as well.
_START = "sitecustomize.py"


def wrong_clock(folder: Path, seconds: float) -> dict[str, str | None]:
    """The environment of a worker whose host's clock is ``seconds`` ahead of the right time."""
    folder.mkdir()
    (folder / _START).write_text(
        "import time\n"
        f"time.time = lambda right=time.time: right() + {seconds!r}\n"
        f"time.time_ns = lambda right=time.time_ns: right() + {round(seconds * 1e9)!r}\n"
    )
    return {"PYTHONPATH": str(folder)}


def another_version(folder: Path, *, format_: int) -> dict[str, str | None]:
    """The environment of a worker with a later version of the package.

    It writes records with a field that this version does not know, in the format given.
    """
    folder.mkdir()
    package = folder / "celery_graceful"
    shutil.copytree(ROOT / "celery_graceful", package, ignore=shutil.ignore_patterns("__pycache__"))
    _edit(package / "__init__.py", '__version__ = "0.1.0"', '__version__ = "0.9.1"')
    codec = package / "stores" / "codec.py"
    _edit(codec, "_FORMAT: Final = 1", f"_FORMAT: Final = {format_}")
    _edit(codec, '"by":"{__version__}"', '"by":"{__version__}","colour":"blue"')
    # Imported at once: ``python -m`` looks into the current folder before all others.
    (folder / _START).write_text(
        f"import sys\nsys.path.insert(0, {str(folder)!r})\n"
        "import celery_graceful\ndel sys.path[0]\n"
    )
    return {"PYTHONPATH": str(folder)}


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, f"{path} has changed: {old}"
    path.write_text(text.replace(old, new))
