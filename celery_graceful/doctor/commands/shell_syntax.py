"""Shell syntax, parsed by tree-sitter-bash: words as programs get them, conditions, assignments."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
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
_ESCAPED = re.compile(r"\\(\n|.)", re.DOTALL)
_ESCAPED_IN_QUOTES = re.compile(r"\\([$`\"\\\n])")
_ALL = re.compile(r"\$(?:[@*]|\{[@*](?::(?P<from>\d+))?\})")
_ONE = re.compile(r"\$(?:(?P<bare>\d)|\{(?P<name>\d+)(?P<rest>:?-(?P<default>[^}]*))?\})")
_VARIABLE = re.compile(
    r"\$(?:(?P<bare>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*)(?P<rest>:?-[^}]{0,500})?\})"
)


class NoShellParser(Exception):
    """tree-sitter-bash is not installed, and the text is more than one plain command."""


class UnreadableShell(Exception):
    """The text is larger or more deeply nested than any that deploys a worker."""


class Word(str):
    """A word with the place where it is written: it may be passed on from file to file."""

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
        """Record an assignment."""
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
        # A default counts only for a variable that is known to be empty.
        default = (match["rest"] or "").removeprefix(":").removeprefix("-")
        return match[0] if value is None else value or default


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


def source(node: Node) -> str:
    """A node as it is written."""
    return (node.text or b"").decode("utf-8", "replace")


def words_of(node: Node, known: Known) -> list[str]:
    """The words that one node of a command stands for: none, one or several."""
    text = source(node)
    expands = node.type in ("simple_expansion", "expansion")
    if expands or node.type == "string":
        args = known.all_args(text[1:-1] if node.type == "string" else text)
        if args is not None:
            return args
    if expands:
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


def item_parts(item: Node) -> tuple[list[str], list[Node]]:
    """The patterns of an item of ``case``, and its statements."""
    children = item.children
    bracket = next((at for at, child in enumerate(children) if child.type == ")"), -1)
    before = children if bracket < 0 else children[:bracket]
    return [literal(c, Known()) for c in before if c.is_named], children[bracket + 1 :]


def assigned(node: Node, known: Known) -> Iterator[tuple[str, str | None]]:
    """Names and values; ``None`` for a value that is not literal."""
    if node.type != "variable_assignment":
        for child in node.children:
            if child.type == "variable_assignment":
                yield from assigned(child, known)
        return
    name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
    if name is None:
        return
    text = "" if value is None else literal(value, known)
    is_list = value is not None and value.type == "array"
    own = f"${{{source(name)}:" in text or f"${{{source(name)}-" in text  # A=${A:-b}
    yield source(name), None if is_list or own or "$(" in text or "`" in text else text
