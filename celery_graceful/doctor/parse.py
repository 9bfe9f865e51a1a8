"""From a command line, or a text for a shell, to the workers that it starts."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace

from celery_graceful.doctor.command import Command
from celery_graceful.doctor.shell_words import Word
from celery_graceful.doctor.worker_search import (
    Finder,
    ScriptFile,
    Text,
    Where,
    for_image,
    in_text,
    in_words,
    no_worker,
)

#: In the place of the first of two dollar signs, which are one to a manager.
_ESCAPED = "\ue000"


def parse_words(words: Sequence[str], *, text: str = "") -> Command:
    """The first worker that a list of words starts, or a command without ``words``."""
    found = workers_in_words(words, text=text)
    return found[0] if found else no_worker(list(words), text)


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
    file: str = "",
    variables: Mapping[str, str] | None = None,
    otherwise: bool = False,
) -> list[Command]:
    """The workers that a command starts, given as a list of words, as a kernel gets it.

    Args:
        words: the program and its arguments.
        text: as it is written; by default the words, quoted.
        find: finds the scripts that it names.
        lines: the line of each word in its file.
        file: that file.
        variables: the environment, as far as it is known.
        otherwise: whether a command that starts no worker is wanted, too, as the only member.

    Raises:
        NoShellParser: a part of it is a text for a shell, and the parser is not installed.
        UnreadableShell: that text is too large.
    """
    text = text or shlex.join(words)
    numbers = [*lines, *[0] * (len(words) - len(lines))]
    placed = [Word(word, line, file) for word, line in zip(words, numbers, strict=False)]
    found = in_words(placed, Where(find, variables or {})) or for_image(placed)
    if not found and otherwise:
        return [no_worker(list(words), text)]
    return [replace(each, text=text) for each in found]


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
    return in_text(Text(text, shell, line, file), Where(find, variables or {}))


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
    text = Text(script.text, script.shell or "sh", 1, script.file, args, script=True)
    return in_text(text, Where(find))


def as_written(found: list[Command], words: Sequence[str]) -> list[Command]:
    """Workers with the sources of their shells as the file has them.

    Args:
        found: parsed from words in which the manager's variables are filled in.
        words: as they are written, where ``$$`` or ``%%`` may stand for one sign.
    """
    raw = workers_in_words([word.replace("$$", f"{_ESCAPED}$") for word in words])
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
