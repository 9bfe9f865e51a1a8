"""From a command line, or a text for a shell, to the workers that it starts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from celery_graceful.doctor.celery_line import is_celery, nodes_of, read_line
from celery_graceful.doctor.command import Command, Shell, Wrapper
from celery_graceful.doctor.programs import (
    KNOWN,
    RUN_ELSEWHERE,
    RUN_NOTHING,
    TAKE_TEXT,
    WATCH,
    base,
    options_and_rest,
)
from celery_graceful.doctor.shell import SHELLS, NoShellParser, assignments, plain_words
from celery_graceful.doctor.shell_script import Script, Simple, read_script_text

__all__ = [
    "Finder",
    "ScriptFile",
    "parse_shell",
    "parse_words",
    "workers_in_script",
    "workers_in_text",
    "workers_in_words",
]

#: How deep shells and scripts are followed into each other.
_DEEPEST = 5
_SHEBANG = re.compile(
    r"#!\s*(?:\S*/(?:env\s+(?:-S\s+)?|with-contenv\s+|busybox\s+|dumb-init\s+))*"
    r"(?:\S*/)?(?P<shell>(?:ba|da|a|z|k)?sh)\b"
)


class ScriptFile(NamedTuple):
    """A script of the project that a command names."""

    text: str
    file: str

    @property
    def shell(self) -> str | None:
        """The shell that runs it; ``None``: it is no shell script."""
        match = _SHEBANG.match(self.text)
        return match["shell"] if match else None


#: Finds a script by its path in the image.
Finder = Callable[[str], ScriptFile | None]


@dataclass(frozen=True, slots=True)
class _Where:
    """Where a command stands, and what can be looked up from there."""

    find: Finder | None = None
    depth: int = 0
    file: str = ""
    #: The line of each word, or of the text; empty when not known.
    lines: tuple[int, ...] = ()
    #: The environment, as far as it is known.
    variables: Mapping[str, str] = field(default_factory=dict)

    def line(self, at: int) -> int:
        """The line of a word; 0: not known."""
        return self.lines[max(at, 0)] if max(at, 0) < len(self.lines) else 0

    def inside(self, **changes: object) -> _Where:
        """One level deeper."""
        return replace(self, depth=self.depth + 1, **changes)  # type: ignore[arg-type]


def parse_words(words: Sequence[str], *, text: str = "") -> Command:
    """The first worker that a list of words starts, or a command without ``words``."""
    found = workers_in_words(words, text=text)
    return found[0] if found else _no_worker(list(words), text)


def parse_shell(text: str, *, shell: str = "sh") -> Command:
    """The first worker that a text for a shell starts, or a command without ``words``."""
    found = workers_in_text(text, shell=shell)
    return found[0] if found else Command(text)


def workers_in_words(
    words: Sequence[str],
    *,
    text: str = "",
    find: Finder | None = None,
    lines: Sequence[int] = (),
    variables: Mapping[str, str] | None = None,
    otherwise: bool = False,
) -> list[Command]:
    """The workers that a command starts, given as a list of words, as a kernel gets it.

    Args:
        words: the program and its arguments.
        text: as it is written; by default the words, quoted.
        find: finds the scripts that it names.
        lines: the line of each word in its file.
        variables: the environment, as far as it is known.
        otherwise: whether a command that starts no worker is wanted, too, as the only member.

    Raises:
        NoShellParser: a part of it is a text for a shell, and the parser is not installed.
        UnreadableShell: that text is too large.
    """
    text = text or shlex.join(words)
    where = _Where(find, lines=tuple(lines), variables=variables or {})
    found = _in_words(list(words), where) or _for_image(list(words), where)
    if not found and otherwise:
        return [_no_worker(list(words), text)]
    return [replace(each, text=text) for each in found]


def workers_in_text(
    text: str,
    *,
    shell: str = "sh",
    find: Finder | None = None,
    line: int = 0,
    variables: Mapping[str, str] | None = None,
) -> list[Command]:
    """The workers that a text for a shell starts, such as that of ``sh -c`` or of a Procfile.

    Args:
        text: the text.
        shell: the program that runs it.
        find: finds the scripts that it names.
        line: the line in its file on which it begins; 0: not known.
        variables: the environment, as far as it is known.

    Raises:
        NoShellParser: the parser is not installed.
        UnreadableShell: the text is too large.
    """
    where = _Where(find, lines=(line,), variables=variables or {})
    return _in_text(text, shell, None, where, script=False)


def workers_in_script(
    script: ScriptFile, args: Sequence[str] | None = None, *, find: Finder | None = None
) -> list[Command]:
    """The workers that a script starts.

    Args:
        script: the script.
        args: what it is called with; ``None``: not known.
        find: finds the scripts that it names.

    Raises:
        NoShellParser: the parser is not installed.
        UnreadableShell: the script is too large.
    """
    where = _Where(find, file=script.file, lines=(1,))
    return _in_text(script.text, script.shell or "sh", args, where, script=True)


def _for_image(words: list[str], where: _Where) -> list[Command]:
    """Arguments for an image whose entry point is celery itself."""
    worker = _worker(["celery", *words], [], where, -1)
    begins = words[:1] == ["worker"] or (words and words[0][:2] in ("-A", "--"))
    return [worker] if worker is not None and begins and "app" in worker.options else []


def _in_words(words: list[str], where: _Where) -> list[Command]:
    wrappers: list[Wrapper] = []
    known = True  # whether what comes next is a program for certain
    environment: dict[str, str] = {}
    rest = words
    while rest:
        given, rest = assignments(rest)
        environment.update(given)
        if not rest:
            return []
        at = len(words) - len(rest)
        program = base(rest[0])
        worker = _worker(rest, wrappers, where, at) if is_celery(rest[0]) else None
        if worker is not None:
            return [replace(worker, environment=environment)]
        if known and (program in RUN_NOTHING or _only_manages(program, rest)):
            return []
        inner, front = _inner(rest, program, where, at)
        if inner:
            outer = (*wrappers, *front)
            return [_behind(outer, environment, each) for each in inner]
        if program in SHELLS and not rest[1:]:
            return []
        options, behind = options_and_rest(rest)
        if program != "exec":
            wrappers.append(Wrapper(program, tuple(options)))
        rest, known = behind, known and program in KNOWN
    return []


def _only_manages(program: str, words: list[str]) -> bool:
    """``docker stop celery worker``: it starts nothing."""
    manages = program in RUN_ELSEWHERE and program != "ssh"
    return manages and not {"run", "exec"}.intersection(words[1:5])


def _behind(outer: tuple[Wrapper, ...], environment: dict[str, str], inner: Command) -> Command:
    elsewhere = any(each.program in RUN_ELSEWHERE for each in outer)
    return replace(
        inner,
        wrappers=(*outer, *inner.wrappers),
        environment={**environment, **inner.environment},
        elsewhere=inner.elsewhere or elsewhere,
    )


def _worker(words: list[str], wrappers: list[Wrapper], where: _Where, at: int) -> Command | None:
    line = read_line(words)
    if line is None:
        return None
    return Command(
        "",
        words=tuple(words),
        wrappers=tuple(wrappers),
        options=line.options,
        flags=line.flags,
        multi=line.multi,
        nodes=nodes_of(line),
        elsewhere=any(each.program in RUN_ELSEWHERE for each in wrappers),
        file=where.file,
        line=where.line(at),
    )


def _inner(
    rest: list[str], program: str, where: _Where, at: int
) -> tuple[list[Command], tuple[Wrapper, ...]]:
    """The workers inside of a text or a script that the first of these words runs."""
    if where.depth >= _DEEPEST:
        return [], ()
    if program == "eval":
        deeper = where.inside(lines=(where.line(at),))
        return _in_text(" ".join(rest[1:]), "sh", None, deeper, script=False, own=True), ()
    if program in TAKE_TEXT:
        text_at = _text_at(rest, program)
        if text_at is not None:
            deeper = where.inside(lines=(where.line(at + text_at),))
            text = _watched(rest, rest[text_at])
            found = _in_text(text, program, None, deeper, script=False, own=program in WATCH)
            return found, () if program in SHELLS else (Wrapper(program),)
    called = rest[1:] if program in SHELLS else rest
    while program in SHELLS and called and called[0][:1] == "-":
        called = called[1:]
    script = where.find(called[0]) if where.find is not None and called else None
    shell = None if script is None else script.shell or (program if program in SHELLS else None)
    if script is None or shell is None:
        return [], ()
    deeper = where.inside(file=script.file, lines=(1,))
    return _in_text(script.text, shell, called[1:], deeper, script=True), ()


def _text_at(words: list[str], program: str) -> int | None:
    """Where the text for a shell stands: after ``sh -c``, ``bash -lc``, ``su user -c``."""
    for at, word in enumerate(words[1:-1], 1):
        if (word[:1] == "-" != word[1:2] and word.endswith("c")) or word == "--command":
            return at + 1
        if word[:1] not in ("-", "+") and program in SHELLS and words[at - 1] not in ("-o", "+o"):
            return None  # a script, whose options follow
    spaced = [at for at, word in enumerate(words) if " " in word]
    return spaced[0] if program in WATCH and spaced else None


def _watched(words: list[str], text: str) -> str:
    """``watchfiles celery.__main__.main --args '-A shop worker'`` calls a function."""
    return f"celery {text}" if "celery.__main__.main" in words else text


def _in_text(
    text: str,
    program: str,
    args: Sequence[str] | None,
    where: _Where,
    *,
    script: bool,
    own: bool = False,
) -> list[Command]:
    """The workers in a text; ``own``: the shell around it runs it itself."""
    read = _read(text, args, where.variables)
    first = where.line(0)
    found: dict[tuple[object, ...], Command] = {}
    for simple in read.commands:
        line = first + simple.line if first else 0
        inside = (
            where.inside(lines=(line,) * len(simple.words)) if first else where.inside(lines=())
        )
        for worker in _in_words(list(simple.words), inside):
            shells = (
                () if worker.elsewhere or own else (_shell(program, text, simple, read, script),)
            )
            worker = replace(
                worker,
                text=simple.source if script else text,
                shells=(*shells, *worker.shells),
                environment={**read.environment, **simple.given, **worker.environment},
            )
            # A function that is called twice is there once.
            found.setdefault((simple.at, worker.file, worker.line, worker.words), worker)
    return list(found.values())


def _read(text: str, args: Sequence[str] | None, variables: Mapping[str, str]) -> Script:
    try:
        return read_script_text(text, args, variables)
    except NoShellParser:
        words = plain_words(text)
        if words is None:
            raise
        given, words = assignments(words)
        source = text.strip()
        return Script([Simple(tuple(words), source, given=given)] if words else [], given)


def _shell(program: str, text: str, simple: Simple, read: Script, script: bool) -> Shell:
    return Shell(
        program="sh" if program in ("su", "runuser") else program,
        execs=simple.words[:1] == ("exec",) and not simple.subshell,
        last=simple.last and not simple.subshell,
        piped=simple.piped,
        background=simple.background,
        traps=read.traps,
        script=script,
        source=simple.source,
        at=len(text.encode("utf-8", "replace")[: simple.at].decode("utf-8", "replace")),
    )


def _no_worker(words: list[str], text: str) -> Command:
    """A command that starts no worker, with the programs that it starts one after the other."""
    given, rest = assignments(words)
    wrappers = []
    while rest:
        options, behind = options_and_rest(rest)
        wrappers.append(Wrapper(base(rest[0]), tuple(options)))
        rest = behind
    return Command(text or shlex.join(words), wrappers=tuple(wrappers), environment=given)
