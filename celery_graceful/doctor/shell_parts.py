"""Parts of shell statements: conditions, items of ``case``, assignments, as far as known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from celery_graceful.doctor.shell_words import Known, literal, source

if TYPE_CHECKING:
    from tree_sitter import Node


def condition_of(node: Node, known: Known) -> bool | None:
    """Whether the condition of an ``elif`` holds."""
    then = next((at for at, child in enumerate(node.children) if child.type == "then"), 0)
    return condition(node.children[1:then], known)


def condition(nodes: Sequence[Node], known: Known) -> bool | None:
    """Whether ``[ "$1" = worker ]`` holds; ``None``: not known, or a different condition."""
    tests = [node for node in nodes if node.type == "test_command"]
    if len(tests) != 1 or "$" not in source(tests[0]):
        return None
    inner = [child for child in tests[0].children if child.is_named]
    if len(inner) != 1 or inner[0].type != "binary_expression":
        return None
    parts = inner[0].children
    if len(parts) != 3 or source(parts[1]) not in ("=", "==", "!="):
        return None
    left, right = (literal(part, known) for part in (parts[0], parts[2]))
    if "$" in left + right:
        return None
    return fnmatchcase(left, right) == (source(parts[1]) != "!=")


def body_of(item: Node) -> list[Node]:
    """An item of ``case`` without its patterns."""
    bracket = next((at for at, child in enumerate(item.children) if child.type == ")"), -1)
    return item.children[bracket + 1 :]


def patterns(item: Node) -> Iterator[str]:
    for child in item.children:
        if child.type == ")":
            return
        if child.is_named:
            yield literal(child, Known())


def assigned(node: Node, known: Known) -> Iterator[tuple[str, str | None]]:
    """Names and values; ``None`` for a value that is not literal."""
    if node.type != "variable_assignment":
        for child in node.children:
            if child.type == "variable_assignment":
                yield from assigned(child, known)
        return
    name = node.child_by_field_name("name")
    value = node.child_by_field_name("value")
    if name is None:
        return
    text = "" if value is None else literal(value, known)
    is_list = value is not None and value.type == "array"
    own = f"${{{source(name)}:" in text or f"${{{source(name)}-" in text  # A=${A:-b}
    yield source(name), None if is_list or own or "$(" in text or "`" in text else text
