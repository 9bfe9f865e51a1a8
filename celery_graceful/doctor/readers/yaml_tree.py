"""YAML with the line of every value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from celery_graceful.doctor.facts import Given, Place
from celery_graceful.doctor.readers.outcome import Trouble
from celery_graceful.doctor.readers.texts import finite

__all__ = ["Node", "NotYaml", "documents"]

_BRACES = "{{"
#: Deeper than any manifest.
_DEEPEST = 100
#: Values that aliases may stand for, all together: more than any deployment has.
_MOST_REPEATED = 100_000
_MERGE = "tag:yaml.org,2002:merge"


class NotYaml(Trouble):
    """The syntax is wrong."""


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its line: a mapping or list of nodes, a scalar, or ``None`` for nothing."""

    value: Any
    place: Place

    def get(self, *path: str) -> Node:
        """What lies under these keys; nothing, in the place of the innermost that is there."""
        node = self
        for key in path:
            below = node.value.get(key) if isinstance(node.value, dict) else None
            node = Node(None, node.place) if below is None else below
        return node

    def items(self) -> list[tuple[str, Node]]:
        """The pairs of a mapping; none of anything else."""
        return list(self.value.items()) if isinstance(self.value, dict) else []

    def each(self) -> list[Node]:
        """The members of a list; none of anything else."""
        return self.value if isinstance(self.value, list) else []

    @property
    def given(self) -> bool:
        """Whether anything stands there."""
        return self.value is not None

    @property
    def text(self) -> str:
        """A scalar as text; empty for anything else. ``true`` and ``false`` as YAML has them."""
        if self.value is None or isinstance(self.value, (dict, list)):
            return ""
        return str(self.value).lower() if isinstance(self.value, bool) else str(self.value)

    def number(self) -> Given[float] | None:
        """A scalar as a number, if it is one."""
        value = finite(self.text)
        return None if value is None else Given(value, self.place)


def documents(text: str, file: str) -> Iterator[Node]:
    """The documents of a YAML text.

    Raises:
        Trouble: PyYAML is missing, this is a template, or (:class:`NotYaml`) no YAML.
    """
    yaml = _yaml(file)
    # Written in C, ten times as fast, where PyYAML was built with it.
    kind = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    _check_depth(text, file)
    try:
        _check_nesting(yaml.parse(text, kind), file)
        loader = kind(text)
        while loader.check_node():
            yield _node(loader, loader.get_node(), file, {})
    except UnicodeEncodeError as exc:  # bytes on stdin that are no text; only the C parser minds
        line = text.count("\n", 0, exc.start) + 1
        raise NotYaml(Place(file, line), "this is not text", "write it as UTF-8") from exc
    except yaml.YAMLError as exc:
        if _BRACES in text:
            raise _template(file, _line_of_braces(text)) from exc
        mark = getattr(exc, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 0
        problem = getattr(exc, "problem", None) or str(exc)
        raise NotYaml(Place(file, line), f"this is not YAML: {problem}", "mend it") from exc


def _check_depth(text: str, file: str) -> None:
    """Brackets only: to be known before a parser, whose time is square in them, sees them."""
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        depth = depth + 1 if bracket in "[{" else max(0, depth - 1)
        if depth > 2 * _DEEPEST:
            raise _too_deep(file, 0)


def _check_nesting(events: Iterable[Any], file: str) -> None:
    """The parser that gives events does not call itself; the one that makes a tree does.

    What aliases stand for is counted as well: readers visit it once for each of them.
    """
    open_now: list[tuple[str | None, int]] = []  # anchors, and how much came before
    sizes: dict[str, int] = {}
    seen = repeated = 0
    for event in events:
        name, anchor = type(event).__name__, getattr(event, "anchor", None)
        if name == "AliasEvent":
            endless = any(anchor == each for each, _ in open_now)  # within what it names
            size = _MOST_REPEATED + 1 if endless else sizes.get(str(anchor), 0)
            seen, repeated = seen + size, repeated + size
        elif name in ("MappingStartEvent", "SequenceStartEvent"):
            open_now.append((anchor, seen))
            seen += 1
        elif name in ("MappingEndEvent", "SequenceEndEvent"):
            anchor, before = open_now.pop()
            if anchor is not None:
                sizes[anchor] = seen - before
        elif name == "ScalarEvent":
            seen += 1
            if anchor is not None:
                sizes[anchor] = 1
        if len(open_now) > _DEEPEST:
            raise _too_deep(file, event.start_mark.line + 1)
        if repeated > _MOST_REPEATED:
            line = event.start_mark.line + 1
            what = f"its aliases stand for more than {_MOST_REPEATED} values"
            raise Trouble(Place(file, line), what, "write out what the workers need")


def _too_deep(file: str, line: int) -> Trouble:
    return Trouble(Place(file, line), f"it is nested deeper than {_DEEPEST}", "write it flat")


def _yaml(file: str) -> Any:
    try:
        import yaml
    except ImportError as exc:
        raise Trouble(
            Place(file), "PyYAML is missing", "pip install 'celery-graceful[doctor]'"
        ) from exc
    return yaml


def _line_of_braces(text: str) -> int:
    return next(i for i, each in enumerate(text.splitlines(), 1) if _BRACES in each)


def _template(file: str, line: int) -> Trouble:
    return Trouble(
        Place(file, line),
        "this is a template ({{ … }}), not a manifest",
        "render it: helm template . > rendered.yaml, then --manifest rendered.yaml",
    )


def _node(loader: Any, node: Any, file: str, known: dict[int, Node]) -> Node:
    """PyYAML's node as ours; what an alias shares is made once."""
    if id(node) in known:
        return known[id(node)]
    place = Place(file, node.start_mark.line + 1)
    kind = node.id
    if kind == "scalar":
        made = Node(_scalar(loader, node), place)
    elif kind == "sequence":
        made = known[id(node)] = Node([], place)
        made.value.extend(_node(loader, each, file, known) for each in node.value)
    else:
        made = known[id(node)] = Node({}, place)
        merged: dict[str, Node] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                _merge(merged, _node(loader, value, file, known))
                continue
            if key.id != "scalar":  # {{ .Values.replicas }} is YAML of a kind
                raise _template(file, key.start_mark.line + 1)
            below = _node(loader, value, file, known)
            # A block begins at its first line; people look for its key.
            made.value[str(key.value)] = Node(below.value, Place(file, key.start_mark.line + 1))
        for name, value in merged.items():
            made.value.setdefault(name, value)
    known[id(node)] = made
    return made


def _merge(merged: dict[str, Node], given: Node) -> None:
    """``<<: *a`` or ``<<: [*a, *b]``. Not PyYAML's way, which doubles what is merged twice."""
    for source in (given, *given.each()):
        for name, value in source.items():
            merged.setdefault(name, value)


def _scalar(loader: Any, node: Any) -> Any:
    import yaml

    try:
        return loader.construct_object(node)
    except (yaml.YAMLError, ValueError):
        return node.value
