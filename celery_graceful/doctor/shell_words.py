"""Words of a shell text, as the shell would hand them to a program, as far as that is known."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node

_ESCAPED = re.compile(r"\\(\n|.)", re.DOTALL)
_ESCAPED_IN_QUOTES = re.compile(r"\\([$`\"\\\n])")
_ALL = re.compile(r"\$(?:[@*]|\{[@*](?::(?P<from>\d+))?\})")
_ONE = re.compile(r"\$(?:(?P<bare>\d)|\{(?P<name>\d+)(?P<rest>:?-(?P<default>[^}]*))?\})")
_VARIABLE = re.compile(
    r"\$(?:(?P<bare>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*)(?P<rest>:?-[^}]{0,500})?\})"
)


class Word(str):
    """A word with the place where it is written: it may be handed on from file to file."""

    #: From 1 on; 0: not known.
    line: int
    file: str

    def __new__(cls, text: str, line: int = 0, file: str = "") -> Word:
        """A word that keeps its place, if it has one."""
        word = super().__new__(cls, text)
        known = isinstance(text, Word) and bool(text.line)
        word.line, word.file = (text.line, text.file) if known else (line, file)  # type: ignore[attr-defined]
        return word


class Known:
    """What is known of a shell's variables and arguments at some point of its text."""

    def __init__(
        self, args: Sequence[str] | None = None, variables: Mapping[str, str | None] | None = None
    ) -> None:
        #: ``None``: not known.
        self.args = None if args is None else list(args)
        #: Those that the text sets; ``None`` for more than one value, or one that is not literal.
        self.variables: dict[str, str | None] = dict(variables or {})

    def set(self, name: str, value: str | None) -> None:
        """Take a note of an assignment."""
        before = self.variables.get(name, value)
        self.variables[name] = value if before == value else None

    def all_args(self, text: str) -> list[str] | None:
        """What ``"$@"`` stands for, if the text is that and it is known."""
        match = _ALL.fullmatch(text)
        if match is None or self.args is None:
            return None
        return self.args[max(0, int(match["from"] or 1) - 1) :]

    def filled_in(self, text: str) -> str:
        """The text with the variables and arguments that are known."""
        if self.args is not None:
            text = _ALL.sub(lambda match: " ".join(self.all_args(match[0]) or ()), text)
        return _VARIABLE.sub(self._variable, _ONE.sub(self._argument, text))

    def _argument(self, match: re.Match[str]) -> str:
        number = int(match["bare"] or match["name"])
        if self.args is None or number == 0:
            return match[0]
        given = self.args[number - 1] if number <= len(self.args) else ""
        return given or match["default"] or ""

    def _variable(self, match: re.Match[str]) -> str:
        value = self.variables.get(match["bare"] or match["name"])
        # A default counts for a variable that is known to be empty alone.
        default = (match["rest"] or "").removeprefix(":").removeprefix("-")
        return match[0] if value is None else value or default


def source(node: Node) -> str:
    """A node as it is written."""
    return (node.text or b"").decode("utf-8", "replace")


def words_of(node: Node, known: Known) -> list[str]:
    """The words that one node of a command stands for: none, one or several."""
    text = source(node)
    bare = text[1:-1] if node.type == "string" else text
    args = (
        known.all_args(bare) if node.type in ("string", "simple_expansion", "expansion") else None
    )
    if args is not None:
        return args
    if node.type in ("simple_expansion", "expansion"):
        value = known.filled_in(text)
        # Without quotes, a value is split into words.
        return [text] if value == text else value.split()
    return [literal(node, known)]


def literal(node: Node, known: Known) -> str:
    """One word, its quotes taken off."""
    text = source(node)
    if node.type == "raw_string":
        return text[1:-1]
    if node.type == "ansi_c_string":
        return text[2:-1]
    if node.type in ("string", "translated_string"):
        inner = text[text.find('"') + 1 : -1]
        return known.filled_in(_ESCAPED_IN_QUOTES.sub(_unescaped, inner))
    if node.type == "concatenation":
        return "".join(literal(child, known) for child in node.children)
    if node.type == "command_name" and node.child_count == 1:
        return literal(node.children[0], known)
    if node.type in ("command_substitution", "process_substitution"):
        return text
    if node.type == "word":
        return _ESCAPED.sub(_unescaped, text)
    return known.filled_in(text)


def _unescaped(match: re.Match[str]) -> str:
    return "" if match[1] == "\n" else match[1]
