"""Texts for a shell: where they come from, what they run, and what they put around a worker."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from celery_graceful.doctor.commands.programs import RUN_NOTHING, WATCH, base
from celery_graceful.doctor.commands.shell_script import Script, Simple, read_script_text
from celery_graceful.doctor.commands.shell_syntax import (
    SHELLS,
    NoShellParser,
    Word,
    assignments,
    plain_words,
)
from celery_graceful.doctor.commands.worker_command import Shell

#: Texts and scripts that one command leads to, all together.
_MOST_TEXTS = 50
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
class Context:
    """What is known where a command is written."""

    find: Finder | None = None
    #: The environment, as far as it is known.
    variables: Mapping[str, str] = field(default_factory=dict)
    depth: int = 0
    #: How many more texts are read: those within each other could be a power of their number.
    texts_left: list[int] = field(default_factory=lambda: [_MOST_TEXTS])

    @property
    def deeper(self) -> Context:
        """Inside a text or a script."""
        return replace(self, depth=self.depth + 1)


class Text(NamedTuple):
    """A text for a shell, and what runs it."""

    text: str
    program: str
    line: int = 0
    file: str = ""
    args: Sequence[str] | None = None
    script: bool = False
    #: The shell around it, or a program that is no shell, runs it itself.
    own: bool = False


def text_at(words: list[Word], program: str) -> int | None:
    """Where the text for a shell is: after ``sh -c``, ``bash -lc``, ``su user -c``."""
    for at, word in enumerate(words[1:-1], 1):
        if (word[:1] == "-" != word[1:2] and word.endswith("c")) or word == "--command":
            return at + 1
        if word[:1] not in ("-", "+") and program in SHELLS and words[at - 1] not in ("-o", "+o"):
            return None  # a script, whose options follow
    spaced = [at for at, word in enumerate(words) if " " in word]
    return spaced[0] if program in WATCH and spaced else None


def script_of(text: Text, variables: Mapping[str, str]) -> Script:
    """What a text runs; without the parser, only a text that is one plain command."""
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


def shell_around(text: Text, simple: Simple, read: Script, later: Sequence[Simple]) -> Shell:
    """The shell as it is around one command of its text."""
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
