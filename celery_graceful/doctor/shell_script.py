"""A shell text walked through: which simple commands it runs, and in which company."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from celery_graceful.doctor.shell import parsed
from celery_graceful.doctor.shell_parts import (
    assigned,
    body_of,
    condition,
    condition_of,
    patterns,
)
from celery_graceful.doctor.shell_words import Known, Word, literal, source, words_of

if TYPE_CHECKING:
    from tree_sitter import Node

#: Statements that are looked at, those of called functions each time: more than any script has.
_MOST_VISITS = 20_000
_DEEPEST = 100
#: Of one function: more roles than a script has.
_MOST_CALLS = 10
_SEQUENCES = frozenset(
    {"program", "compound_statement", "do_group", "else_clause", "case_item", "ERROR"}
)
_BRANCHES = frozenset({"if_statement", "elif_clause"})
_LOOPS = frozenset({"while_statement", "for_statement", "c_style_for_statement"})
_STATEMENTS = (
    _SEQUENCES
    | _BRANCHES
    | _LOOPS
    | {"command", "pipeline", "list", "subshell", "redirected_statement", "case_statement"}
    | {"negated_command", "function_definition", "declaration_command", "variable_assignment"}
    | {"variable_assignments"}
)
#: Signals that a manager stops with.
_STOPS = frozenset({"TERM", "SIGTERM", "15", "INT", "SIGINT", "QUIT", "SIGQUIT", "EXIT", "0"})


@dataclass(frozen=True, slots=True)
class Simple:
    """One command, with what surrounds it."""

    words: tuple[Word, ...]
    #: As it is written, from the program on, and where that begins in the text, in bytes.
    source: str = ""
    at: int = 0
    #: From 1 on, in its file; 0: not known.
    line: int = 0
    #: Set for it alone.
    given: dict[str, str] = field(default_factory=dict)
    piped: bool = False
    background: bool = False
    #: Nothing follows it.
    last: bool = True
    #: It runs inside of ``( … )``, whose shell is one of its own.
    subshell: bool = False


@dataclass(slots=True)
class Script:
    """What a text runs."""

    commands: list[Simple] = field(default_factory=list)
    #: Set for all that comes later.
    environment: dict[str, str] = field(default_factory=dict)
    #: It handles a stop signal: what it does then cannot be told.
    traps: bool = False


def read_script_text(
    text: str,
    args: Sequence[str] | None = None,
    variables: Mapping[str, str] | None = None,
    *,
    line: int = 0,
    file: str = "",
) -> Script:
    """Walk through a text.

    Args:
        text: of a script, or behind ``sh -c``.
        args: what it is called with; ``None``: not known, so that all its branches count.
        variables: its environment, as far as that is known.
        line: the line on which it begins; 0: not known.
        file: the file it stands in.

    Raises:
        NoShellParser: the parser is not installed.
        UnreadableShell: the text is too large.
    """
    walk = _Walk(Known(args, variables), line, file)
    root = parsed(text)
    walk.sequence(root, Simple(()), 0)
    for name in [name for name in walk.functions if name not in walk.called and args is None]:
        walk.known = Known(None, walk.known.variables)
        walk.call(name, (), Simple(()), 0)
    return walk.script


class _Walk:
    """One walk; ``around`` is what every command inside inherits."""

    def __init__(self, known: Known, line: int, file: str) -> None:
        self.known, self.script = known, Script()
        self.line, self.file = line, file
        self.functions: dict[str, Node] = {}
        #: How often each was walked into, and those that are being walked through.
        self.called: Counter[str] = Counter()
        self.active: set[str] = set()
        self.visits = 0

    def sequence(self, node: Node, around: Simple, depth: int) -> None:
        """Statements one after the other."""
        self.statements(node.children, around, depth)

    def statements(self, children: Sequence[Node], around: Simple, depth: int) -> None:
        """The same, of some of a node's children."""
        found = [at for at, child in enumerate(children) if child.type in _STATEMENTS]
        running = [at for at in found if children[at].type != "function_definition"]
        for at in found:
            follows = bool(running) and at < running[-1]
            behind = children[at + 1].type if at + 1 < len(children) else ""
            inside = replace(
                around,
                last=around.last and not follows,
                background=around.background or behind == "&",
            )
            self.visit(children[at], inside, depth + 1)

    def visit(self, node: Node, around: Simple, depth: int) -> None:
        """One statement."""
        self.visits += 1
        if depth > _DEEPEST or self.visits > _MOST_VISITS:
            return
        kind = node.type
        if kind == "command":
            self.command(node, around, depth)
        elif kind in ("variable_assignment", "variable_assignments", "declaration_command"):
            self.assign(node)
        elif kind == "function_definition":
            name = node.child_by_field_name("name")
            body = node.child_by_field_name("body")
            if name is not None and body is not None:
                self.functions[source(name)] = body
        elif kind == "list":
            self.joined(node, around, depth)
        elif kind == "pipeline":
            self.each(node, replace(around, piped=True), depth)
        elif kind == "subshell":
            self.sequence(node, replace(around, subshell=True), depth)
        elif kind in _LOOPS:
            self.sequence(node, replace(around, last=False), depth)
        elif kind in _BRANCHES:
            self.branches(node, around, depth)
        elif kind == "case_statement":
            self.cases(node, around, depth)
        elif kind == "redirected_statement":
            self.redirected(node, around, depth)
        elif kind == "negated_command":
            self.each(node, around, depth)
        else:
            self.sequence(node, around, depth)

    def each(self, node: Node, around: Simple, depth: int) -> None:
        """Statements that belong together."""
        for child in node.children:
            if child.type in _STATEMENTS:
                self.visit(child, around, depth + 1)

    def joined(self, node: Node, around: Simple, depth: int) -> None:
        """``a && b``, ``a || b``: the second may follow the first."""
        holds = condition(node.children[:1], self.known)
        skipped = {True: "||", False: "&&"}.get(holds) if holds is not None else None
        inside = [child for child in node.children if child.type in _STATEMENTS]
        for child in inside:
            last = around.last and child == inside[-1]
            if skipped is None or source(node.children[1]) != skipped:
                self.visit(child, replace(around, last=last), depth + 1)

    def redirected(self, node: Node, around: Simple, depth: int) -> None:
        """A statement, and what stands behind the ``<<EOF`` on its line."""
        self.each(node, around, depth)
        for child in node.children:
            if child.type == "heredoc_redirect":
                self.each(child, replace(around, piped=True), depth)

    def branches(self, node: Node, around: Simple, depth: int) -> None:
        """``if``: the one branch that is taken where the condition is about a known argument."""
        children = node.children
        then = next((at for at, child in enumerate(children) if child.type == "then"), 0)
        self.statements(children[:then], replace(around, last=False), depth)
        holds = condition(children[1:then], self.known)
        others = ("elif_clause", "else_clause")
        if holds is not False:
            body = [child for child in children[then:] if child.type not in others]
            self.statements(body, around, depth)
        for child in children:
            if holds or child.type not in others:
                continue
            if child.type == "else_clause":
                self.sequence(child, around, depth)
            else:
                self.branches(child, around, depth)
                if condition_of(child, self.known):
                    return

    def cases(self, node: Node, around: Simple, depth: int) -> None:
        """``case``: the one item that is chosen where the value is known."""
        value = node.child_by_field_name("value")
        chosen = literal(value, self.known) if value is not None else "$"
        for item in node.children:
            if item.type != "case_item":
                continue
            if "$" in chosen or "`" in chosen:
                self.statements(body_of(item), around, depth)
            elif any(fnmatchcase(chosen, pattern) for pattern in patterns(item)):
                self.statements(body_of(item), around, depth)
                return

    def assign(self, node: Node) -> None:
        """Variables that hold from here on."""
        exported = source(node).startswith("export")
        for name, value in assigned(node, self.known):
            self.known.set(name, value)
            if exported:
                self.script.environment[name] = value or ""
        for child in node.children if exported else ():
            if child.type == "variable_name":
                self.script.environment[source(child)] = (
                    self.known.variables.get(source(child)) or ""
                )

    def command(self, node: Node, around: Simple, depth: int) -> None:
        """A simple command; a call of a function of the text is walked into."""
        given: dict[str, str] = {}
        words: list[Word] = []
        start = node
        for child in node.children:
            if child.type == "variable_assignment":
                given.update({n: v or "" for n, v in assigned(child, self.known)})
            elif child.type == "command_name" and child.children:
                start = child
                words += self.placed(child.children[0])
            elif not child.type.endswith("redirect"):
                words += self.placed(child)
        if not words:
            return
        if words[0] in self.functions:
            self.call(words[0], words[1:], around, depth)
        elif words[0] == "shift" and self.known.args is not None:
            self.known.args = self.known.args[1:]
        elif words[:2] == ["set", "--"]:
            self.known.args = None if "$" in " ".join(words) else list(words[2:])
        elif words[0] == "trap":
            self.script.traps |= bool(_STOPS.intersection(words[2:]))
        else:
            text = source(node)
            offset = start.start_byte - node.start_byte
            self.script.commands.append(
                replace(
                    around,
                    words=tuple(words),
                    source=text.encode("utf-8", "replace")[offset:].decode("utf-8", "replace"),
                    at=start.start_byte,
                    line=self.line + start.start_point[0] if self.line else 0,
                    given=given,
                )
            )

    def placed(self, node: Node) -> list[Word]:
        """The words of a node, each where it is written."""
        line = self.line + node.start_point[0] if self.line else 0
        return [Word(word, line, self.file) for word in words_of(node, self.known)]

    def call(self, name: str, args: Sequence[str], around: Simple, depth: int) -> None:
        """Walk through a function's body."""
        if name in self.active or self.called[name] >= _MOST_CALLS:
            return
        self.called[name] += 1
        self.active.add(name)
        before = self.known.args
        self.known.args = list(args) if args or before is not None else None
        self.visit(self.functions[name], around, depth + 1)
        self.known.args = before
        self.active.discard(name)
