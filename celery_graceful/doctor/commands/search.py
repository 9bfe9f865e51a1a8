"""The search for workers in words, texts and scripts that lead to each other."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace

from celery_graceful.doctor.commands.programs import (
    KNOWN,
    RUN_ELSEWHERE,
    RUN_NOTHING,
    TAKE_TEXT,
    WATCH,
    base,
    celery_command,
    is_celery,
    options_and_rest,
)
from celery_graceful.doctor.commands.shell_syntax import SHELLS, Word, assignments
from celery_graceful.doctor.commands.shell_text import (
    Context,
    Finder,
    ScriptFile,
    Text,
    script_of,
    shell_around,
    text_at,
)
from celery_graceful.doctor.commands.worker_command import Command, Wrapper

#: How deep shells and scripts are followed into each other.
_DEEPEST = 5
#: More words than anybody has in front of a worker, where it is not known which are programs.
_MOST_WRAPPERS = 60
#: What passes all arguments of a script on.
_ALL_ARGUMENTS = re.compile(r"\$[@*]|\$\{[@*]")
#: In the place of the first of two dollar signs, which are one to a manager.
_ESCAPED = "\ue000"


def commands_in_words(
    words: Sequence[str],
    *,
    text: str = "",
    written: Sequence[str] | None = None,
    find: Finder | None = None,
    variables: Mapping[str, str] | None = None,
) -> list[Command]:
    """The workers that a list of words starts, or the command itself if it starts none.

    Args:
        words: the program and its arguments, each a :class:`Word` if its place is known.
        text: as it is written; by default the words, quoted.
        written: the words as the file has them, before the manager filled in its variables.
        find: finds the scripts that it names.
        variables: the environment, as far as it is known.

    Raises:
        NoShellParser: a part of it is a text for a shell, and the parser is not installed.
        UnreadableShell: that text is too large.
    """
    text = text or shlex.join(words)
    placed = [Word(word) for word in words]
    found = _in_words(placed, Context(find, variables or {})) or _for_image(placed)
    if not found:
        return [_no_worker(list(words), text)]
    found = [replace(each, text=text) for each in found]
    return found if written is None or written == words else _as_written(found, written)


def parse_words(words: Sequence[str]) -> Command:
    """The first worker that a list of words starts, or the command itself if it starts none."""
    return commands_in_words(words)[0]


def workers_in_text(
    text: str,
    *,
    shell: str = "sh",
    find: Finder | None = None,
    line: int = 0,
    file: str = "",
    variables: Mapping[str, str] | None = None,
) -> list[Command]:
    """The workers that a text for a shell starts, such as that of ``sh -c`` or of a Procfile.

    Args:
        text: the text.
        shell: the program that runs it.
        find: finds the scripts that it names.
        line: the line in its file on which it begins; 0: not known.
        file: that file.
        variables: the environment, as far as it is known.

    Raises:
        NoShellParser: the parser is not installed.
        UnreadableShell: the text is too large.
    """
    return _in_text(Text(text, shell, line, file), Context(find, variables or {}))


def workers_in_script(script: ScriptFile, args: Sequence[str] | None = None) -> list[Command]:
    """The workers that a script starts, called with arguments that may be not known."""
    text = Text(script.text, script.shell or "sh", 1, script.file, args, script=True)
    return _in_text(text, Context())


def _for_image(words: list[Word]) -> list[Command]:
    """Arguments for an image whose entry point is celery itself."""
    first = words[0] if words else Word("")
    worker = _worker([Word("celery", first.line, first.file), *words], [])
    begins = words[:1] == ["worker"] or (words and words[0][:2] in ("-A", "--"))
    return [worker] if worker is not None and begins and "app" in worker.options else []


def _in_words(words: list[Word], context: Context) -> list[Command]:
    wrappers: list[Wrapper] = []
    known = True  # whether what comes next is certainly a program
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
        inner, front = _inner(rest, program, context)
        if inner is None:
            return []
        if inner:
            outer = (*wrappers, *front)
            elsewhere = any(each.program in RUN_ELSEWHERE for each in outer)
            return [
                replace(
                    each,
                    wrappers=(*outer, *each.wrappers),
                    environment={**environment, **each.environment},
                    elsewhere=each.elsewhere or elsewhere,
                )
                for each in inner
            ]
        if program in SHELLS and not rest[1:]:
            return []
        options, behind = options_and_rest(rest)
        if program != "exec":
            wrappers.append(Wrapper(program, tuple(options)))
        rest, known = behind, known and program in KNOWN
    return []


def _no_worker(words: list[str], text: str) -> Command:
    """A command that starts no worker, with the programs that it starts one after the other."""
    given, rest = assignments(words)
    wrappers: list[Wrapper] = []
    while rest and len(wrappers) < _MOST_WRAPPERS:
        options, behind = options_and_rest(rest)
        wrappers.append(Wrapper(base(rest[0]), tuple(options)))
        rest = behind
    return Command(text, wrappers=tuple(wrappers), environment=given)


def _only_manages(program: str, words: Sequence[str]) -> bool:
    """``docker stop celery worker``: it starts nothing."""
    manages = program in RUN_ELSEWHERE and program != "ssh"
    return manages and not {"run", "exec"}.intersection(words[1:5])


def _worker(words: list[Word], wrappers: list[Wrapper]) -> Command | None:
    command = celery_command(words)
    if command is None:
        return None
    elsewhere = any(each.program in RUN_ELSEWHERE for each in wrappers)
    first = words[0]
    return replace(
        command,
        wrappers=tuple(wrappers),
        elsewhere=elsewhere,
        file=first.file,
        line=first.line,
    )


def _inner(
    rest: list[Word], program: str, context: Context
) -> tuple[list[Command] | None, tuple[Wrapper, ...]]:
    """The workers inside a text or a script that the first of these words runs.

    ``None``: it is a script that does not use the rest of the words.
    """
    if context.depth >= _DEEPEST:
        return [], ()
    if program == "eval":
        text = Text(" ".join(rest[1:]), "sh", rest[0].line, rest[0].file, own=True)
        return _in_text(text, context.deeper), ()
    if program in TAKE_TEXT or program.startswith("$"):
        at = text_at(rest, program)
        if at is not None:
            given = rest[at]
            # This one calls a function: ``watchfiles celery.__main__.main --args '-A a worker'``.
            whole = f"celery {given}" if "celery.__main__.main" in rest else given
            text = Text(whole, program, given.line, given.file, own=program in WATCH)
            front = () if program in SHELLS else (Wrapper(program),)
            return _in_text(text, context.deeper), front
    return _in_script(rest, program, context), ()


def _in_script(rest: list[Word], program: str, context: Context) -> list[Command] | None:
    """The workers that a script of the project starts, if the first of the words names one."""
    called = rest[1:] if program in SHELLS else rest
    while program in SHELLS and called and called[0][:1] == "-":
        called = called[1:]
    script = context.find(called[0]) if context.find is not None and called else None
    shell = None if script is None else script.shell or (program if program in SHELLS else None)
    if script is None or shell is None:
        return []
    text = Text(script.text, shell, 1, script.file, called[1:], script=True)
    found = _in_text(text, context.deeper)
    return found if found or _ALL_ARGUMENTS.search(script.text) else None


def _in_text(text: Text, context: Context) -> list[Command]:
    context.texts_left[0] -= 1
    if context.texts_left[0] < 0:
        return []
    read = script_of(text, context.variables)
    found: dict[tuple[object, ...], Command] = {}
    for at, simple in enumerate(read.commands):
        for worker in _in_words(list(simple.words), context.deeper):
            around = shell_around(text, simple, read, read.commands[at + 1 :])
            worker = replace(
                worker,
                text=simple.source if text.script else text.text,
                shells=worker.shells if worker.elsewhere or text.own else (around, *worker.shells),
                environment={**read.environment, **simple.given, **worker.environment},
            )
            # A function that is called twice is there once.
            options = tuple(sorted(worker.options.items()))
            found.setdefault((simple.at, worker.file, worker.line, options), worker)
    return list(found.values())


def _as_written(found: list[Command], words: Sequence[str]) -> list[Command]:
    """Workers with the sources of their shells as the file has them.

    Args:
        found: parsed from words in which the manager's variables are filled in.
        words: as they are written, where ``$$`` or ``%%`` may stand for one sign.
    """
    raw = commands_in_words([word.replace("$$", f"{_ESCAPED}$") for word in words])
    if [len(each.shells) for each in found] != [len(each.shells) for each in raw]:
        return found
    return [
        replace(
            each,
            shells=tuple(
                shell
                if shell.script
                else replace(shell, source=written.source.replace(_ESCAPED, "$"))
                for shell, written in zip(each.shells, other.shells, strict=True)
            ),
        )
        for each, other in zip(found, raw, strict=True)
    ]
