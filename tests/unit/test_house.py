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


@pytest.mark.parametrize("room", ["model", "sources"])
def test_a_pure_room_needs_the_standard_library_only(room: str) -> None:
    leaves = ("errors", "text.counting", "text.strict_json", "text")
    own = (f"celery_graceful.{room}", *(f"celery_graceful.{leaf}" for leaf in leaves))
    for file in files(room):
        for name in imported(file):
            known = name.split(".")[0] in sys.stdlib_module_names or name.startswith(own)
            assert known, f"{file} imports {name}"


def test_only_one_room_touches_celerys_internals() -> None:
    private = ("billiard", "kombu.transport", "celery.concurrency")
    for file in package().rglob("*.py"):
        if file.relative_to(package()).parts[0] == "_celery":
            continue
        names = [name for name in imported(file) if name.startswith(private)]
        assert not names, f"{file} imports {names}; only celery_graceful/_celery may"
