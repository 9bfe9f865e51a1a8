"""YAML with the line of every value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from celery_graceful.doctor.facts import Given, Place, finite
from celery_graceful.doctor.readers.entry import MissingPackage, Trouble

#: Signs of templates, which are not YAML.
_BRACES = re.compile(r"\{\{|\{%|<%")
#: Deeper than any manifest.
_DEEPEST = 100
#: Values that aliases may expand to, all together: more than any deployment has.
_MOST_REPEATED = 100_000
_TAGS = ("!reset", "!override")
_MERGE = "tag:yaml.org,2002:merge"


class NotYaml(Trouble):
    """The syntax is wrong."""


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its line: a mapping or list of nodes, a scalar, or ``None`` for nothing."""

    value: Any
    place: Place
    #: Where a scalar's text begins; 0: it is none.
    text_line: int = 0
    #: ``!reset`` or ``!override``, by which compose takes away what it would merge.
    tag: str = ""

    def get(self, *path: str) -> Node:
        """The value under these keys; nothing, with the place of the innermost that is there."""
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
        """Whether there is a value."""
        return self.value is not None

    @property
    def text(self) -> str:
        """A scalar as text; empty for anything else. ``true`` and ``false`` as YAML has them."""
        if self.value is None or isinstance(self.value, (dict, list)):
            return ""
        return str(self.value).lower() if isinstance(self.value, bool) else str(self.value)

    def scalar(self) -> Given[str] | None:
        """A scalar with its place, if there is a value."""
        return Given(self.text, self.place) if self.given else None

    def number(self) -> Given[float] | None:
        """A scalar as a number, if it is one."""
        value = finite(self.text)
        return None if value is None else Given(value, self.place)


def documents(text: str, file: str) -> Iterator[Node]:
    """The documents of a YAML text.

    Raises:
        Trouble: PyYAML is missing, this is a template, or (:class:`NotYaml`) no YAML.
    """
    try:
        import yaml
    except ImportError as exc:
        raise MissingPackage(Place(file), "PyYAML", "this file") from exc
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
        if _BRACES.search(text):
            raise template(file, text) from exc
        mark = getattr(exc, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 0
        problem = getattr(exc, "problem", None) or str(exc)
        raise NotYaml(
            Place(file, line), f"this is not YAML: {problem}", "correct the syntax"
        ) from exc


def _check_depth(text: str, file: str) -> None:
    """Brackets only: to be known before a parser, whose time is square in them, sees them."""
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        depth = depth + 1 if bracket in "[{" else max(0, depth - 1)
        if depth > 2 * _DEEPEST:
            raise _too_deep(file, 0)


def _check_nesting(events: Iterable[Any], file: str) -> None:
    """The parser that gives events does not call itself; the one that makes a tree does.

    What aliases expand to is counted as well: readers visit it once for each of them.
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
            what = f"its aliases expand to more than {_MOST_REPEATED} values"
            raise Trouble(Place(file, line), what, "write out what the workers need")


def _too_deep(file: str, line: int) -> Trouble:
    return Trouble(Place(file, line), f"it is nested deeper than {_DEEPEST}", "reduce its nesting")


def template(file: str, text: str, line: int = 0) -> Trouble:
    """The trouble that a text has to be rendered first; the line is that of its first sign."""
    found = _BRACES.search(text)
    line = line or (text.count("\n", 0, found.start()) + 1 if found else 0)
    if file.endswith((".j2", ".jinja", ".jinja2")) or "{%" in text:
        what = "a Jinja template ({% … %})"
        fix = "render it with the tool that it is for (Ansible, cookiecutter), and name the result"
    elif "<%" in text:
        what, fix = "an ERB template (<% … %>)", "render it with the tool that it is for"
    else:
        helm = ".Values" in text or "{{-" in text or ".Release" in text
        what = "a Helm template ({{ … }})" if helm else "a template ({{ … }})"
        fix = "render it: helm template . > rendered.yaml, then --manifest rendered.yaml"
    return Trouble(Place(file, line), f"this is {what}, not a manifest", fix)


def _node(loader: Any, node: Any, file: str, known: dict[int, Node]) -> Node:
    """PyYAML's node as ours; what an alias shares is made once."""
    if id(node) in known:
        return known[id(node)]
    place = Place(file, node.start_mark.line + 1)
    kind, tag = node.id, node.tag if node.tag in _TAGS else ""
    if tag == "!reset":
        made = Node(None, place, tag=tag)
    elif kind == "scalar":
        made = Node(_scalar(loader, node), place, _text_line(node))
    elif kind == "sequence":
        made = known[id(node)] = Node([], place, tag=tag)
        made.value.extend(_node(loader, each, file, known) for each in node.value)
    else:
        made = known[id(node)] = Node({}, place, tag=tag)
        merged: dict[str, Node] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                _merge(merged, _node(loader, value, file, known))
                continue
            if key.id != "scalar":  # {{ .Values.replicas }} is YAML of a kind
                raise template(file, "{{", key.start_mark.line + 1)
            below = _node(loader, value, file, known)
            # A block begins at its first line; people look for its key.
            place = Place(file, key.start_mark.line + 1)
            made.value[str(key.value)] = replace(below, place=place)
        for name, value in merged.items():
            made.value.setdefault(name, value)
    known[id(node)] = made
    return made


def _merge(merged: dict[str, Node], given: Node) -> None:
    """``<<: *a`` or ``<<: [*a, *b]``. Not PyYAML's way, which doubles what is merged twice."""
    for source in (given, *given.each()):
        for name, value in source.items():
            merged.setdefault(name, value)


def _text_line(node: Any) -> int:
    """The line of a text's first character: a block's is the one below its sign."""
    first = int(node.start_mark.line) + 1
    return first + 1 if node.style in ("|", ">") else first


def _scalar(loader: Any, node: Any) -> Any:
    import yaml

    try:
        return loader.construct_object(node)
    except (yaml.YAMLError, ValueError):
        return node.value
