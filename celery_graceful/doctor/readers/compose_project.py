"""The services of a docker-compose file as compose sees them: with what they extend and include."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from celery_graceful.doctor.facts import Place
from celery_graceful.doctor.readers.entry import Trouble
from celery_graceful.doctor.readers.texts import env_file, filled_in, text_of
from celery_graceful.doctor.readers.yaml_tree import Node, documents
from celery_graceful.text.counting import counted

#: Of files that include or extend each other, and of services that extend each other.
_DEEPEST = 10
#: Files that make up a project, and values that are merged in it: more than any has.
_MOST_FILES, _MOST_MERGED = 100, 300_000
#: What compose adds by itself, beside each of its default files.
_OVERRIDES = {
    f"{name}.{end}": f"{name}.override.{end}"
    for name in ("docker-compose", "compose")
    for end in ("yml", "yaml")
}
#: Lists to which an override adds; it takes the place of others, such as ``command``.
_ADDED = frozenset({"env_file", "volumes", "ports", "expose", "dns", "tmpfs", "devices"})
#: Fields that a list of ``NAME=value`` may give instead of a mapping.
_PAIRS = frozenset({"environment", "labels"})


class Project:
    """Services by name, each complete, and the variables of the project's ``.env``.

    Raises:
        Trouble: a file that it names is no YAML, too large, or cannot be read; or there is more
            to combine than any project has.
    """

    def __init__(self, document: Node, file: str) -> None:
        self.services: dict[str, Node] = {}
        dot_env = env_file(Path(file).with_name(".env"))
        self.variables = {name: given.value for name, given in dot_env.items()}
        self._read: dict[Path, list[Node]] = {}
        self._merged = 0
        self._add(document, Path(file), 0)
        for service in self.services.values():
            self._count(*(value for _, value in service.items()))

    def _add(self, document: Node, path: Path, depth: int) -> None:
        for each in _included(document, path.parent) if depth < _DEEPEST else ():
            if each not in self._read:
                for found in self._documents(each):
                    self._add(found, each, depth + 1)
        own = dict(document.get("services").items())
        for override in _overrides(path):
            for found in self._documents(override):
                for name, service in found.get("services").items():
                    own[name] = self._on_top(own[name], service) if name in own else service
        for name, service in own.items():
            self.services[name] = self._extended(service, own, path, 0)

    def _documents(self, path: Path) -> list[Node]:
        if path not in self._read:
            if len(self._read) >= _MOST_FILES:
                raise Trouble(
                    Place(str(path)),
                    f"more than {counted(_MOST_FILES, 'file')} are combined",
                    "render it: docker compose config > rendered.yaml",
                )
            found = documents(text_of(path), str(path))
            self._read[path] = [each for each in found if isinstance(each.value, dict)]
        return self._read[path]

    def _extended(
        self, service: Node, siblings: Mapping[str, Node], path: Path, depth: int
    ) -> Node:
        """A service on top of the one that it extends."""
        extends = service.get("extends")
        name = extends.text or extends.get("service").text
        if not name or depth >= _DEEPEST:
            return service
        other, others = path, siblings
        file = filled_in(extends.get("file").text, self.variables)
        if file:
            other = path.parent / file
            found = self._documents(other) if other.is_file() else []
            others = found[0].get("services").value if found else {}
        base = others.get(name) if isinstance(others, Mapping) else None
        if base is None or base is service:
            return service
        return self._on_top(self._extended(base, others, other, depth + 1), service)

    def _on_top(self, base: Node, over: Node, key: str = "") -> Node:
        """One value on top of another, as compose merges them."""
        if over.tag:
            return over
        self._count(base, over)
        if key in _PAIRS:
            return Node({**_pairs(base), **_pairs(over)}, over.place)
        if isinstance(base.value, dict) and isinstance(over.value, dict):
            values = dict(base.value)
            for name, value in over.items():
                if name != "extends":
                    values[name] = (
                        self._on_top(values[name], value, name) if name in values else value
                    )
            values.pop("extends", None)
            return Node(values, over.place)
        if key in _ADDED:
            return Node([*_listed(base), *_listed(over)], over.place)
        return over if over.given else base

    def _count(self, *merged: Node) -> None:
        self._merged += sum(len(n.value) for n in merged if isinstance(n.value, (dict, list)))
        if self._merged > _MOST_MERGED:
            what = f"what its services extend is more than {_MOST_MERGED} values"
            raise Trouble(merged[-1].place, what, "write out what the workers need")


def is_compose(document: Node) -> bool:
    """Whether a YAML document describes services, or changes those of another one."""
    services, included = document.get("services"), document.get("include")
    if document.get("kind").given:
        return False
    if not services.given:
        return _is_list_of_files(included)
    found = services.items()
    return bool(found) and all(isinstance(s.value, dict) or not s.given for _, s in found)


def _is_list_of_files(node: Node) -> bool:
    files = [each.text or each.get("path").text for each in node.each()]
    return bool(files) and all(file.endswith((".yml", ".yaml")) for file in files)


def base_of(path: Path) -> Path:
    """For an override file, the file beside it that it changes, if that is there."""
    for base, override in _OVERRIDES.items():
        if path.name == override and path.with_name(base).is_file():
            return path.with_name(base)
    return path


def _overrides(path: Path) -> list[Path]:
    named = _OVERRIDES.get(path.name)
    return [path.with_name(named)] if named and path.with_name(named).is_file() else []


def _included(document: Node, folder: Path) -> Iterator[Path]:
    for each in document.get("include").each():
        paths = [each, each.get("path"), *each.get("path").each()]
        for path in paths:
            if path.text and (folder / path.text).is_file():
                yield folder / path.text


def _listed(node: Node) -> list[Node]:
    return node.each() or ([node] if node.text else [])


def _pairs(node: Node) -> dict[str, Node]:
    found = dict(node.items())
    for each in node.each():
        name, equals, value = each.text.partition("=")
        found[name.strip()] = Node(value if equals else None, each.place)
    return found
