"""Walks through a shell text: which simple commands it runs, and beside what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from celery_graceful.doctor.commands.shell_syntax import (
    Known,
    Word,
    assigned,
    condition,
    item_parts,
    literal,
    parsed,
    source,
    words_of,
)

if TYPE_CHECKING:
    from tree_sitter import Node

#: Statements that are visited, those of called functions each time: more than any script has.
_MOST_VISITS = 20_000
_DEEPEST = 100
#: Calls of one function: more than a script has roles.
_MOST_CALLS = 10
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
    #: It runs inside ``( … )``, which is a shell of its own.
    subshell: bool = False


@dataclass(slots=True)
class Script:
    """What a text runs."""

    commands: list[Simple] = field(default_factory=list)
    #: Set for all that comes later.
    environment: dict[str, str] = field(default_factory=dict)
    #: It handles a stop signal: what it does then is not known.
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
        file: the file that it is in.

    Raises:
        NoShellParser: the parser is not installed.
        UnreadableShell: the text is too large.
    """
    walk = _Walk(Known(args, variables), line, file)
    walk.statements(parsed(text).children, Simple(()))
    for name in [name for name in walk.functions if name not in walk.called and args is None]:
        walk.known = Known(None, walk.known.variables)
        walk.call(name, (), Simple(()))
    return walk.script


class _Walk:
    """One walk; ``around`` is what every command inside inherits."""

    def __init__(self, known: Known, line: int, file: str) -> None:
        self.known, self.script = known, Script()
        self.line, self.file = line, file
        self.functions: dict[str, Node] = {}
        #: How often each was called, and those whose calls have not returned.
        self.called: Counter[str] = Counter()
        self.active: set[str] = set()
        self.visits = self.depth = 0

    def visit(self, node: Node, around: Simple) -> None:
        self.visits += 1
        if self.depth >= _DEEPEST or self.visits > _MOST_VISITS:
            return
        self.depth += 1
        _VISITS.get(node.type, _Walk.sequence)(self, node, around)
        self.depth -= 1

    def statements(self, children: Sequence[Node], around: Simple) -> None:
        """Statements one after the other."""
        found = [at for at, child in enumerate(children) if child.type in _VISITS]
        running = [at for at in found if children[at].type != "function_definition"]
        for at in found:
            follows = bool(running) and at < running[-1]
            behind = children[at + 1].type if at + 1 < len(children) else ""
            inside = replace(
                around,
                last=around.last and not follows,
                background=around.background or behind == "&",
            )
            self.visit(children[at], inside)

    def sequence(self, node: Node, around: Simple) -> None:
        self.statements(node.children, around)

    def loop(self, node: Node, around: Simple) -> None:
        self.statements(node.children, replace(around, last=False))

    def subshell(self, node: Node, around: Simple) -> None:
        self.statements(node.children, replace(around, subshell=True))

    def together(self, node: Node, around: Simple) -> None:
        for child in node.children:
            if child.type in _VISITS:
                self.visit(child, around)

    def pipeline(self, node: Node, around: Simple) -> None:
        self.together(node, replace(around, piped=True))

    def joined(self, node: Node, around: Simple) -> None:
        """``a && b``, ``a || b``: the second may follow the first."""
        holds = condition(node.children[:1], self.known)
        skipped = {True: "||", False: "&&"}.get(holds) if holds is not None else None
        inside = [child for child in node.children if child.type in _VISITS]
        for child in inside:
            last = around.last and child == inside[-1]
            if skipped is None or source(node.children[1]) != skipped:
                self.visit(child, replace(around, last=last))

    def redirected(self, node: Node, around: Simple) -> None:
        """A statement, and what is behind the ``<<EOF`` on its line."""
        self.together(node, around)
        for child in node.children:
            if child.type == "heredoc_redirect":
                self.pipeline(child, around)

    def branches(self, node: Node, around: Simple) -> bool | None:
        """``if`` or ``elif``: only the branch that is taken, if it is known whether it holds."""
        children = node.children
        then = next((at for at, child in enumerate(children) if child.type == "then"), 0)
        self.statements(children[:then], replace(around, last=False))
        holds = condition(children[1:then], self.known)
        others = ("elif_clause", "else_clause")
        if holds is not False:
            body = [child for child in children[then:] if child.type not in others]
            self.statements(body, around)
        for child in children:
            if holds or child.type not in others:
                continue
            if child.type == "else_clause":
                self.sequence(child, around)
                continue
            if self.branches(child, around):
                break
        return holds

    def cases(self, node: Node, around: Simple) -> None:
        """``case``: only the item that is chosen, if the value is known."""
        value = node.child_by_field_name("value")
        chosen = literal(value, self.known) if value is not None else "$"
        unknown = "$" in chosen or "`" in chosen
        for item in node.children:
            if item.type != "case_item":
                continue
            patterns, body = item_parts(item)
            if unknown or any(fnmatchcase(chosen, pattern) for pattern in patterns):
                self.statements(body, around)
                if not unknown:
                    return

    def define(self, node: Node, around: Simple) -> None:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if name is not None and body is not None:
            self.functions[source(name)] = body

    def assign(self, node: Node, around: Simple) -> None:
        """Variables that are set from here on."""
        exported = source(node).startswith("export")
        for name, value in assigned(node, self.known):
            self.known.set(name, value)
            if exported:
                self.script.environment[name] = value or ""
        for child in node.children if exported else ():
            if child.type == "variable_name":
                value = self.known.variables.get(source(child))
                self.script.environment[source(child)] = value or ""

    def command(self, node: Node, around: Simple) -> None:
        """A simple command; a call of a function of the text is followed."""
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
            self.call(words[0], words[1:], around)
        elif words[0] == "shift" and self.known.args is not None:
            self.known.args = self.known.args[1:]
        elif words[:2] == ["set", "--"]:
            self.known.args = None if "$" in " ".join(words) else list(words[2:])
        elif words[0] == "trap":
            self.script.traps |= bool(_STOPS.intersection(words[2:]))
        else:
            begun = (node.text or b"")[start.start_byte - node.start_byte :]
            self.script.commands.append(
                replace(
                    around,
                    words=tuple(words),
                    source=begun.decode("utf-8", "replace"),
                    at=start.start_byte,
                    line=self.line_of(start),
                    given=given,
                )
            )

    def line_of(self, node: Node) -> int:
        return self.line + node.start_point[0] if self.line else 0

    def placed(self, node: Node) -> list[Word]:
        """The words of a node, each where it is written."""
        return [Word(word, self.line_of(node), self.file) for word in words_of(node, self.known)]

    def call(self, name: str, args: Sequence[str], around: Simple) -> None:
        """Walk through a function's body."""
        if name in self.active or self.called[name] >= _MOST_CALLS:
            return
        self.called[name] += 1
        self.active.add(name)
        before = self.known.args
        self.known.args = list(args) if args or before is not None else None
        self.visit(self.functions[name], around)
        self.known.args = before
        self.active.discard(name)


#: What is done with each kind of statement; all other kinds of nodes are none.
_VISITS: Mapping[str, Callable[[_Walk, Node, Simple], object]] = {
    **dict.fromkeys(("program", "compound_statement", "do_group", "ERROR"), _Walk.sequence),
    **dict.fromkeys(("else_clause", "case_item"), _Walk.sequence),
    **dict.fromkeys(("if_statement", "elif_clause"), _Walk.branches),
    **dict.fromkeys(("while_statement", "for_statement", "c_style_for_statement"), _Walk.loop),
    **dict.fromkeys(("variable_assignment", "variable_assignments"), _Walk.assign),
    "declaration_command": _Walk.assign,
    "command": _Walk.command,
    "pipeline": _Walk.pipeline,
    "list": _Walk.joined,
    "subshell": _Walk.subshell,
    "redirected_statement": _Walk.redirected,
    "case_statement": _Walk.cases,
    "negated_command": _Walk.together,
    "function_definition": _Walk.define,
}
