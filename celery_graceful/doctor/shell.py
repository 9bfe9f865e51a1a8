"""Texts for a shell, parsed by tree-sitter-bash into statements with their lines."""

from __future__ import annotations

import re
import shlex
from functools import cache
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

S = TypeVar("S", bound=str)
SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh"})
INSTALL = "pip install 'celery-graceful[doctor]'"

#: Bytes of a text, and how many of the tokens whose nesting costs the parser quadratic time.
_LONGEST = 100_000
_MOST = {"|": 1000, "=(": 300}
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
#: One command without quotes, operators and substitutions: no parser is needed for that.
_PLAIN = re.compile(r"[\w@%+=:,./${}\- \t]*")


class NoShellParser(Exception):
    """tree-sitter-bash is not installed, and the text is more than one plain command."""


class UnreadableShell(Exception):
    """The text is larger or more deeply nested than any that deploys a worker."""


@cache
def _parser() -> Parser | None:
    try:
        import tree_sitter_bash
        from tree_sitter import Language, Parser
    except ImportError:
        return None
    return Parser(Language(tree_sitter_bash.language()))


def parsed(text: str) -> Node:
    """The root of the syntax tree of a text.

    Raises:
        NoShellParser: the parser is not installed.
        UnreadableShell: the text is too large.
    """
    parser = _parser()
    if parser is None:
        raise NoShellParser
    data = text.encode("utf-8", "replace")
    if len(data) > _LONGEST or any(text.count(token) > most for token, most in _MOST.items()):
        raise UnreadableShell
    return parser.parse(data).root_node


def plain_words(text: str) -> list[str] | None:
    """The words of a text that is one plain command; ``None`` if it is more than that."""
    return shlex.split(text) if _PLAIN.fullmatch(text.strip()) else None


def assignments(words: list[S]) -> tuple[dict[str, str], list[S]]:
    """What is set in front of a command (``A=1 env B=2 celery``), and the rest of the words."""
    given: dict[str, str] = {}
    for at, word in enumerate(words):
        if not (_ASSIGNMENT.match(word) or word in ("env", "/usr/bin/env")):
            return given, words[at:]
        name, equals, value = word.partition("=")
        if equals:
            given[name] = value
    return given, []
