"""Finds, in the source of tasks, a ``yield`` inside a block of Django's ``transaction.atomic()``.

At a ``yield`` the run may save its checkpoint, or stop. What the block has written is not committed
then. The run itself refuses such a checkpoint; here it is seen before the task runs.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

_BLOCK = (
    "a yield inside the transaction.atomic() block of line {line}: the checkpoint would be saved"
    " before the work is committed"
)
_DECORATED = (
    "transaction.atomic as the decorator of a generator: the block has ended before the first item,"
    " so that nothing of it is in the transaction"
)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def unsafe_yields(task: Any) -> list[str]:
    """What is wrong with the generators of an iterable task, with file and line.

    Args:
        task: a task; where its source is not there, nothing is found.
    """
    cls = type(task)
    names = ("body", "build_enumerator", "each_iteration")
    written = (inspect.getattr_static(cls, name, None) for name in names)
    found: list[str] = []
    for function in written:
        plain = inspect.unwrap(getattr(function, "__func__", function)) if function else None
        if inspect.isgeneratorfunction(plain):
            found += [f"{task.name} ({where}): {what}" for where, what in _found_in(plain)]
    return list(dict.fromkeys(found))


def _found_in(function: Callable[..., Any]) -> Iterator[tuple[str, str]]:
    if "django.db.transaction" not in sys.modules:
        return
    try:
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines))).body[0]
        file = inspect.getsourcefile(function)
    except (OSError, TypeError, SyntaxError, ValueError, IndexError):  # typed in, or edited since
        return
    if not isinstance(tree, ast.FunctionDef):
        return
    known = _Names(function, tree)
    for decorator in tree.decorator_list:
        if known.is_atomic(decorator):
            yield f"{file}:{first + decorator.lineno - 1}", _DECORATED
    for block, line in _yields(tree.body, known, 0):
        yield f"{file}:{first + line - 1}", _BLOCK.format(line=first + block - 1)


def _yields(nodes: list[Any], known: _Names, block: int) -> Iterator[tuple[int, int]]:
    """The line of the outermost block and that of the first yield within, for each such block."""
    for node in nodes:
        if isinstance(node, _SCOPES):
            continue
        if block and isinstance(node, (ast.Yield, ast.YieldFrom)):
            yield block, node.lineno
        opens = isinstance(node, ast.With) and any(
            known.is_atomic(item.context_expr) for item in node.items
        )
        inside = block or (node.lineno if opens else 0)
        yield from _yields(list(ast.iter_child_nodes(node)), known, inside)


class _Names:
    """What the names in a function mean: its globals, its closure, its own imports."""

    def __init__(self, function: Any, tree: ast.FunctionDef) -> None:
        closed = inspect.getclosurevars(function)
        self._values: dict[str, Any] = {**function.__globals__, **closed.nonlocals}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("django.db"):
                module = sys.modules.get(node.module or "")
                for name in node.names:
                    value = getattr(module, name.name, None)
                    self._values[name.asname or name.name] = value

    def is_atomic(self, node: ast.AST) -> bool:
        """Whether an expression is ``transaction.atomic`` or a call of it."""
        from django.db import transaction

        value = self._value(node.func if isinstance(node, ast.Call) else node)
        return value is not None and value is transaction.atomic

    def _value(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Name):
            return self._values.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = self._value(node.value)
            # Of a module only: another attribute may be a property that does something.
            return getattr(owner, node.attr, None) if inspect.ismodule(owner) else None
        return None
