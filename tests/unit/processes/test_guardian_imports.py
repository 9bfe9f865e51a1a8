"""The guardian's imports stay few: each is paid for at every start of a process."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from celery_graceful.processes import guardian

#: Built into Python, or of the folder itself.
ALLOWED = {"__future__", "_ctypes", "_signal", "marshal", "posix", "select", "sys", "time"}
FOLDER = Path(guardian.__file__).parent


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.py")), ids=lambda file: file.name)
def test_only_what_is_built_in(file: Path) -> None:
    tree = ast.parse(file.read_text())
    for node in tree.body:
        for inner in [] if isinstance(node, ast.If) and _is_typing(node) else ast.walk(node):
            for name in _imported(inner):
                assert name in ALLOWED or name.startswith(guardian.__name__), name


def _is_typing(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []
