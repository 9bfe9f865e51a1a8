"""The search for workers in words, texts and scripts that lead to each other."""

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
from celery_graceful.doctor.shell_words import Word

#: How deep shells and scripts are followed into each other.
_DEEPEST = 5
#: Texts and scripts that one command leads to, all together.
_MOST_TEXTS = 50
#: More words than anybody has in front of a worker, where it is not known which are programs.
_MOST_WRAPPERS = 60
_SHEBANG = re.compile(
    r"#!\s*(?:\S*/(?:env\s+(?:-S\s+)?|with-contenv\s+|busybox\s+|dumb-init\s+))*"
    r"(?:\S*/)?(?P<shell>(?:ba|da|a|z|k)?sh)\b"
)
#: What hands on all arguments of a script.
_ALL_ARGUMENTS = re.compile(r"\$[@*]|\$\{[@*]")


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
class Where:
    """What can be looked up from where a command stands."""

    find: Finder | None = None
    #: The environment, as far as it is known.
    variables: Mapping[str, str] = field(default_factory=dict)
    depth: int = 0
    #: How many texts are read yet: those within each other could be a power of their number.
    texts_left: list[int] = field(default_factory=lambda: [_MOST_TEXTS])

    @property
    def deeper(self) -> Where:
        """Inside of a text or a script."""
        return replace(self, depth=self.depth + 1)


class Text(NamedTuple):
    """A text for a shell, and who runs it."""

    text: str
    program: str
    line: int = 0
    file: str = ""
    args: Sequence[str] | None = None
    script: bool = False
    #: The shell around it, or a program that is no shell, runs it itself.
    own: bool = False


def for_image(words: list[Word]) -> list[Command]:
    """Arguments for an image whose entry point is celery itself."""
    first = words[0] if words else Word("")
    worker = _worker([Word("celery", first.line, first.file), *words], [])
    begins = words[:1] == ["worker"] or (words and words[0][:2] in ("-A", "--"))
    return [worker] if worker is not None and begins and "app" in worker.options else []


def in_words(words: list[Word], where: Where) -> list[Command]:
    wrappers: list[Wrapper] = []
    known = True  # whether what comes next is a program for certain
    environment: dict[str, str] = {}
    rest = words
    while rest and len(wrappers) < _MOST_WRAPPERS:
        given, rest = assignments(rest)
        environment.update(given)
        if not rest:
            return []
        program = base(rest[0])
        worker = _worker(rest, wrappers) if is_celery(rest[0]) else None
        if worker is not None:
            return [replace(worker, environment=environment)]
        if known and (program in RUN_NOTHING or _only_manages(program, rest)):
            return []
        inner, front = _inner(rest, program, where)
        if inner is None:
            return []
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


def _only_manages(program: str, words: Sequence[str]) -> bool:
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


def _worker(words: list[Word], wrappers: list[Wrapper]) -> Command | None:
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
        file=words[0].file,
        line=words[0].line,
    )


def _inner(
    rest: list[Word], program: str, where: Where
) -> tuple[list[Command] | None, tuple[Wrapper, ...]]:
    """The workers inside of a text or a script that the first of these words runs.

    ``None``: it is a script that takes no notice of the rest of the words.
    """
    if where.depth >= _DEEPEST:
        return [], ()
    if program == "eval":
        text = Text(" ".join(rest[1:]), "sh", rest[0].line, rest[0].file, own=True)
        return in_text(text, where.deeper), ()
    if program in TAKE_TEXT or program.startswith("$"):
        at = _text_at(rest, program)
        if at is not None:
            given, own = rest[at], program in WATCH
            text = Text(_watched(rest, given), program, given.line, given.file, own=own)
            front = () if program in SHELLS else (Wrapper(program),)
            return in_text(text, where.deeper), front
    return _in_script(rest, program, where), ()


def _in_script(rest: list[Word], program: str, where: Where) -> list[Command] | None:
    """The workers that a script of the project starts, if the first of the words names one."""
    called = rest[1:] if program in SHELLS else rest
    while program in SHELLS and called and called[0][:1] == "-":
        called = called[1:]
    script = where.find(called[0]) if where.find is not None and called else None
    shell = None if script is None else script.shell or (program if program in SHELLS else None)
    if script is None or shell is None:
        return []
    text = Text(script.text, shell, 1, script.file, called[1:], script=True)
    found = in_text(text, where.deeper)
    return found if found or _ALL_ARGUMENTS.search(script.text) else None


def _text_at(words: list[Word], program: str) -> int | None:
    """Where the text for a shell stands: after ``sh -c``, ``bash -lc``, ``su user -c``."""
    for at, word in enumerate(words[1:-1], 1):
        if (word[:1] == "-" != word[1:2] and word.endswith("c")) or word == "--command":
            return at + 1
        if word[:1] not in ("-", "+") and program in SHELLS and words[at - 1] not in ("-o", "+o"):
            return None  # a script, whose options follow
    spaced = [at for at, word in enumerate(words) if " " in word]
    return spaced[0] if program in WATCH and spaced else None


def _watched(words: list[Word], text: str) -> str:
    """``watchfiles celery.__main__.main --args '-A shop worker'`` calls a function."""
    return f"celery {text}" if "celery.__main__.main" in words else text


def in_text(text: Text, where: Where) -> list[Command]:
    """The workers in a text."""
    where.texts_left[0] -= 1
    if where.texts_left[0] < 0:
        return []
    read = _read(text, where.variables)
    found: dict[tuple[object, ...], Command] = {}
    for at, simple in enumerate(read.commands):
        for worker in in_words(list(simple.words), where.deeper):
            around = _shell(text, simple, read, read.commands[at + 1 :])
            worker = replace(
                worker,
                text=simple.source if text.script else text.text,
                shells=worker.shells if worker.elsewhere or text.own else (around, *worker.shells),
                environment={**read.environment, **simple.given, **worker.environment},
            )
            # A function that is called twice is there once.
            told = tuple(sorted(worker.options.items()))
            found.setdefault((simple.at, worker.file, worker.line, told), worker)
    return list(found.values())


def _read(text: Text, variables: Mapping[str, str]) -> Script:
    try:
        return read_script_text(text.text, text.args, variables, line=text.line, file=text.file)
    except NoShellParser:
        words = plain_words(text.text)
        if words is None:
            raise
        given, words = assignments(words)
        placed = tuple(Word(word, text.line, text.file) for word in words)
        one = Simple(placed, text.text.strip(), line=text.line, given=given)
        return Script([one] if words else [], given)


def _shell(text: Text, simple: Simple, read: Script, later: Sequence[Simple]) -> Shell:
    before = text.text.encode("utf-8", "replace")[: simple.at]
    return Shell(
        program="sh" if text.program in ("su", "runuser") else text.program,
        execs=simple.words[:1] == ("exec",) and not simple.subshell,
        last=simple.last and not simple.subshell,
        piped=simple.piped,
        background=simple.background,
        traps=read.traps,
        script=text.script,
        source=simple.source,
        at=len(before.decode("utf-8", "replace")),
        line=simple.line,
        file=text.file,
        company=simple.background and any(base(each.words[0]) not in RUN_NOTHING for each in later),
    )


def no_worker(words: list[str], text: str) -> Command:
    """A command that starts no worker, with the programs that it starts one after the other."""
    given, rest = assignments(words)
    wrappers: list[Wrapper] = []
    while rest and len(wrappers) < _MOST_WRAPPERS:
        options, behind = options_and_rest(rest)
        wrappers.append(Wrapper(base(rest[0]), tuple(options)))
        rest = behind
    return Command(text or shlex.join(words), wrappers=tuple(wrappers), environment=given)
