"""Celery's own command line: whether it starts workers, and with which options."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from celery_graceful.doctor.command import FLAGS, OPTIONS, Node

#: ``${BIN}celery``, ``$VENV/bin/celery``; and as in Celery's own unit: ``${CELERY_BIN}``.
_PROGRAM = re.compile(r"(?:.*[/}])?celery|(?:.*/)?\$\{?CELERYD?(?:_?(?:BIN|CMD|MULTI|EXEC))?\}?")
_MULTI_BY_VARIABLE = re.compile(r"\$\{?CELERYD_MULTI\}?")
_BY_OPTION = {option: name for name, options in OPTIONS.items() for option in options}
_BY_FLAG = {flag: name for name, flags in FLAGS.items() for flag in flags}
#: Other options of ``celery`` and ``celery worker`` that take a value of their own.
_WITH_VALUE = """-b --broker --result-backend --loader --config --workdir -l --loglevel -f --logfile
-S --statedb -s --schedule --schedule-filename --scheduler -I --include --prefetch-multiplier
--max-tasks-per-child --max-memory-per-child --heartbeat-interval --pidfile --uid --gid
--umask --executable"""
_VALUED = frozenset(_WITH_VALUE.split())
#: Letters of short options without a value, which may be joined: ``-EB``.
_SHORT_FLAGS = {"B": "beat", "D": "detach", "E": "", "q": "", "C": ""}
_STARTING = ("start", "restart")


class CeleryLine(NamedTuple):
    """The options of a line that starts workers."""

    options: dict[str, str]
    flags: frozenset[str]
    multi: bool
    #: Of ``multi``: what its nodes are called, and their own options by option and node.
    nodes: tuple[str, ...] = ()
    per_node: Mapping[tuple[str, str], str] = MappingProxyType({})


def is_celery(word: str) -> bool:
    """Whether a word is Celery's program."""
    return _PROGRAM.fullmatch(word) is not None


def read_line(words: Sequence[str]) -> CeleryLine | None:
    """The line from ``celery`` on; ``None`` if it starts no worker."""
    options: dict[str, str] = {}
    per_node: dict[tuple[str, str], str] = {}
    flags: set[str] = set()
    verbs: list[str] = ["multi"] if words and _MULTI_BY_VARIABLE.fullmatch(words[0]) else []
    rest = deque(words[1:])
    while rest:
        word = rest.popleft()
        name, equals, value = word.partition("=")
        option, _, node = name.partition(":")
        if option in _BY_OPTION and (equals or name == word):
            given = value if equals else (rest.popleft() if rest else "")
            if node:
                per_node[_BY_OPTION[option], node] = given
            else:
                options[_BY_OPTION[option]] = given
        elif option in _VALUED:
            if not equals and rest:
                rest.popleft()
        elif word in _BY_FLAG:
            flags.add(_BY_FLAG[word])
        elif word[:1] == "-" != word[1:2] and len(word) > 1:
            _short(word, options, flags)
        elif word[:1] != "-" and (word[:1] != "$" or _has_verb(verbs)):
            verbs.append(word)  # a variable in front of the verb may hold options
    multi = verbs[:1] == ["multi"]
    if verbs[:1] != ["worker"] and not (multi and verbs[1:2] and verbs[1] in _STARTING):
        return None
    nodes = tuple(verbs[2:]) if multi else ()
    return CeleryLine(options, frozenset(flags), multi, nodes, per_node)


def _has_verb(verbs: list[str]) -> bool:
    return len(verbs) > (1 if verbs[:1] == ["multi"] else 0)


def _short(word: str, options: dict[str, str], flags: set[str]) -> None:
    """A short option joined with its value (``-c4``) or with others (``-EB``)."""
    if word[:2] in _BY_OPTION:
        options[_BY_OPTION[word[:2]]] = word[2:].removeprefix("=")
    elif set(word[1:]) <= set(_SHORT_FLAGS):
        flags.update(filter(None, (_SHORT_FLAGS[letter] for letter in word[1:])))


def nodes_of(line: CeleryLine) -> tuple[Node, ...]:
    """The nodes of ``celery multi``, each with the options that are meant for it."""
    names = list(line.nodes)
    if len(names) == 1 and names[0].isdecimal() and len(names[0]) < 4:
        names = [f"celery{number}" for number in range(1, int(names[0]) + 1)]
    if any("$" in name or "%" in name for name in names):
        # Which nodes there are is not known: one for each option that names some, and one more.
        names += sorted({node for _, node in line.per_node})
    return tuple(
        Node(name, _options_of(number, name, line.per_node)) for number, name in enumerate(names, 1)
    )


def _options_of(number: int, name: str, per_node: Mapping[tuple[str, str], str]) -> dict[str, str]:
    return {
        option: value
        for (option, nodes), value in per_node.items()
        if nodes == name or any(_means(each, number, name) for each in nodes.split(","))
    }


def _means(given: str, number: int, name: str) -> bool:
    """Whether ``w1``, ``1`` or ``1-3`` means a node."""
    first, _, last = given.partition("-")
    if first.isdecimal() and (last.isdecimal() or not last):
        return _whole(first) <= number <= _whole(last or first)
    return given in (name, name.partition("@")[0])


def _whole(digits: str) -> int:
    return int(digits[:9])
