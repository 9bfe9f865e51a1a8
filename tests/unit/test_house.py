"""The house keeps its order: rooms know only those below, and some know next to nothing."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = ROOT / "pyproject.toml"


def package() -> Path:
    """Where the package that is tested lies: the tree, or the installed wheel."""
    spec = importlib.util.find_spec("celery_graceful")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def files(room: str) -> list[Path]:
    found = sorted((package() / room).rglob("*.py"))
    assert found, f"the room {room} is empty"
    return found


def imported(file: Path) -> Iterator[str]:
    """The absolute names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} imports relatively; name the package"
            yield node.module or ""


def test_each_room_knows_only_those_below() -> None:
    # In a process of its own: the linter switches all other loggers off.
    code = (
        "import sys; from importlinter.cli import lint_imports; "
        f"sys.exit(lint_imports({str(PYPROJECT)!r}, no_cache=True))"
    )
    linted = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize("room", ["model", "sources/keyset"])
def test_a_pure_room_needs_the_standard_library_only(room: str) -> None:
    leaves = ("errors", "text.counting", "text.strict_json", "text", "sources.basic")
    own = (
        f"celery_graceful.{room.replace('/', '.')}",
        *(f"celery_graceful.{leaf}" for leaf in leaves),
    )
    for file in files(room):
        for name in imported(file):
            known = name.split(".")[0] in sys.stdlib_module_names or name.startswith(own)
            assert known, f"{file} imports {name}"


def test_the_sources_import_their_packages_when_they_are_used() -> None:
    code = """
import sys
from celery_graceful.sources import *
own = {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)
print(*sorted(own & {"django", "fsspec", "obstore", "pyarrow", "redis", "sqlalchemy"}))
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (ran.stdout.strip(), ran.returncode) == ("", 0), ran.stdout + ran.stderr


def test_only_one_room_touches_celerys_internals() -> None:
    private = ("billiard", "kombu.transport", "celery.concurrency")
    for file in package().rglob("*.py"):
        if file.relative_to(package()).parts[0] == "_celery":
            continue
        names = [name for name in imported(file) if name.startswith(private)]
        assert not names, f"{file} imports {names}; only celery_graceful/_celery may"


#: Files that share a name because they are about the same thing, one for each place.
TWINS_ON_PURPOSE = {
    "__init__.py": "every package has one",
    "api.py": "`graceful.runs` and `graceful.maintenance`",
    "errors.py": "the errors users see, and how each kind of store translates those of its driver",
    "plugin.py": "the plugin of Celery, and that of pytest",
}
#: Each kind of store has the same files, and the contract suite one for each of them.
KINDS_OF_STORE = ("stores/", "testing/store_contract/")


def test_no_file_is_longer_than_300_lines() -> None:
    long = [inside(file) for file in files("") if len(file.read_text().splitlines()) > 300]
    assert not long, f"split by idea: {long}"


def holds_anything(entry: Path) -> bool:
    """Whether an entry is more than bytecode, which stays when its modules have moved away."""
    return entry.is_file() or any(
        inner.is_file() and inner.suffix != ".pyc" for inner in entry.rglob("*")
    )


def test_no_folder_has_more_than_14_entries() -> None:
    folders = {file.parent for file in files("")} - {package()}
    full = {inside(folder) for folder in folders if sum(map(holds_anything, folder.iterdir())) > 14}
    assert not full, f"group by idea: {sorted(full)}"


def test_no_two_files_have_one_name_for_different_ideas() -> None:
    by_name: dict[str, list[str]] = {}
    for file in files(""):
        by_name.setdefault(file.name, []).append(inside(file))
    shared = {
        name: paths
        for name, paths in by_name.items()
        if len(paths) > 1 and not all(path.startswith(KINDS_OF_STORE) for path in paths)
    }
    new = {name: paths for name, paths in shared.items() if name not in TWINS_ON_PURPOSE}
    assert not new, f"name each for its own idea: {new}"


def inside(path: Path) -> str:
    """The path within the package."""
    return path.relative_to(package()).as_posix()
