"""No message says "1 items": a count goes into a text by ``counted``, or where it is never one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import celery_graceful
from celery_graceful.text.counting import agree, counted, pids

PACKAGE = Path(celery_graceful.__file__).parent

#: What is counted in messages, in the plural.
_PLURALS = (
    "attempts|bytes|characters|children|copies|crashes|digits|entries|errors|executions|failures"
    "|fields|files|findings|items|keys|executions|lines|messages|others|processes|queues|records|runs"
    "|scopes|seconds|slots|tasks|times|tries|values|warnings|workers"
)
#: Directly, or behind a word or two: "3 overdue runs wait".
_COUNT = re.compile(rf"(?:%d|\0) (?:[a-z]+ ){{0,2}}(?:{_PLURALS})\b")
#: By the text that follows the count: why it is never one.
_NEVER_ONE = {
    "\0 bytes, at most \0 are allowed": "more than the most that is allowed",
    "\0 bytes are too long a text": "the same",
    "\0 bytes was too large to travel": "the same",
    "\0 bytes; at most \0 are kept": "the same",
    "\0 times while it was copied": "a constant",
    "\0 runs; write more": "more than one has the name",
    "\0 files, ": "of Python's standard library",
    "\0 files are combined": "a constant",
    "\0 values": "a constant",
    "\0 times meanwhile": "a constant",
    "\0 characters": "a constant",
    "\0 workers have the same name": "more than one",
    "\0 copies sends each scheduled task": "more than one",
    "\0 bytes": "a constant",
    "\0 lines": "of Python's standard library",
    "\0 files were done": "a third of them",
    "\0 quarantined items.": "more than are shown",
    "\0 runs the worker": "a verb",
    "\0 runs \0 times": "a verb; only where there are several copies",
    "\0 times": "the same",
    "\0 searches bytes": "no count",
}


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 entries"), (1, "1 entry"), (2, "2 entries"), (11, "11 entries")]
)
def test_a_count_has_its_plural(number: int, text: str) -> None:
    assert counted(number, "entry", "entries") == text
    assert counted(number, "run") == f"{number} {agree(number, 'run', 'runs')}"


def test_pids_are_named() -> None:
    assert (pids([7]), pids([7, 9])) == ("pid 7", "pids 7, 9")


def messages(source: str) -> Iterator[tuple[int, str]]:
    """The texts of a source that are no docstrings, with \\0 for each value in them."""
    tree = ast.parse(source)
    inner: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [v.value if isinstance(v, ast.Constant) else "\0" for v in node.values]
            inner.update(map(id, node.values))
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Expr):
            inner.add(id(node.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.lineno, node.value


def counts(source: str) -> list[tuple[int, str]]:
    found = []
    for line, text in messages(source):
        for match in _COUNT.finditer(text):
            rest = text[match.start() :]
            if not rest.startswith(tuple(_NEVER_ONE)):
                found.append((line, rest[:60]))
    return found


def test_a_count_without_its_plural_is_found() -> None:
    source = '"""%d items"""\nlog("%d overdue runs wait", n)\nf"{n} items " f"of {m} tasks"'
    assert [line for line, _ in counts(source)] == [3, 3, 2]


@pytest.mark.parametrize("room", sorted({p.name for p in PACKAGE.iterdir() if p.name[0] != "_"}))
def test_every_count_in_a_message_has_its_plural(room: str) -> None:
    place = PACKAGE / room
    for path in [place] if place.suffix == ".py" else sorted(place.rglob("*.py")):
        found = counts(path.read_text(encoding="utf-8"))
        assert found == [], path.relative_to(PACKAGE)
