"""From the words of a command line to a :class:`~celery_graceful.doctor.command.Command`."""

from __future__ import annotations

import re
import shlex
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from celery_graceful.doctor.command import FLAGS, OPTIONS, Command, Shell, Wrapper
from celery_graceful.doctor.shell import SHELLS, Simple, assignments, simple_commands

__all__ = ["parse_shell", "parse_words"]

#: How deep shells are followed into each other.
_DEEPEST = 5
#: As in Celery's own unit: ``${CELERY_BIN}``.
_CELERY_BY_VARIABLE = re.compile(r"\$\{?CELERYD?(?:_?(?:BIN|CMD|MULTI))?\}?")
_BY_OPTION = {option: name for name, options in OPTIONS.items() for option in options}
_BY_FLAG = {flag: name for name, flags in FLAGS.items() for flag in flags}
#: Letters of short options without a value, which may be joined: ``-EB``.
_SHORT_FLAGS = {"B": "beat", "D": "detach", "E": "", "q": ""}


def parse_words(words: Sequence[str], *, text: str = "", depth: int = 0) -> Command:
    """Take apart a command given as a list of words, as a kernel gets it.

    Args:
        words: the program and its arguments.
        text: as it is written; by default the words, quoted.

    Returns:
        the command; its ``words`` are empty when it starts no Celery worker.
    """
    text = text or shlex.join(words)
    given, rest = assignments(list(words))
    start = _worker_at(rest)
    if start is not None:
        return _worker(rest[start:], _wrappers(rest[:start]), given, text)
    script = _script_at(rest)
    if script is None or depth >= _DEEPEST:
        return Command(text, wrappers=_wrappers(rest), environment=given)
    before = rest[: script - 1]
    shell_at = max(i for i, word in enumerate(before) if _base(word) in SHELLS | {"su", "runuser"})
    inner = parse_shell(rest[script], shell=_base(before[shell_at]), depth=depth + 1)
    outer = before if _base(before[shell_at]) not in SHELLS else before[:shell_at]
    return replace(
        inner,
        text=text,
        wrappers=(*_wrappers(outer), *inner.wrappers),
        environment={**given, **inner.environment},
    )


def parse_shell(text: str, *, shell: str = "sh", depth: int = 0) -> Command:
    """Take apart a command given as a text for a shell."""
    try:
        commands = simple_commands(text)
    except ValueError:
        return Command(text)
    environment: dict[str, str] = {}
    for at, simple in enumerate(commands):
        given, words = assignments(list(simple.words))
        if words[:1] == ["exec"]:
            later, words = assignments(words[1:])
            given.update(later)
        if not words:
            environment.update(given)
            continue
        found = parse_words(words, depth=depth + 1)
        if found.is_worker:
            return replace(
                found,
                text=text,
                shells=(_shell(shell, commands, at, simple), *found.shells),
                environment={**environment, **given, **found.environment},
            )
    return Command(text, environment=environment)


def _shell(program: str, commands: list[Simple], at: int, simple: Simple) -> Shell:
    later = commands[at + 1 :]
    return Shell(
        program="sh" if program in ("su", "runuser") else program,
        execs="exec" in assignments(list(simple.words))[1][:1],
        last=not later,
        piped=simple.piped_to or simple.joined in ("|", "|&"),
        background=simple.joined == "&",
        traps=any("trap" in each.words[:1] for each in commands),
    )


def _script_at(words: list[str]) -> int | None:
    """Where the text for a shell stands: after ``sh -c``, ``bash -lc``, ``su -c``."""
    shells = SHELLS | {"su", "runuser"}
    inside = False
    for at, word in enumerate(words[:-1]):
        inside = inside or _base(word) in shells
        if inside and word[:1] == "-" and word[:2] != "--" and word.endswith("c"):
            return at + 1
        if inside and word in ("--command",):
            return at + 1
    return None


def _worker_at(words: list[str]) -> int | None:
    """Where ``celery`` stands, if ``worker`` or ``multi start`` follows it."""
    for at, word in enumerate(words):
        if _is_celery(word) and words[at - 1 : at] != ["-A"]:
            verbs = words[at + 1 :]
            return at if "worker" in verbs or _starts_multi(verbs) else None
    # The image's entry point may be celery itself.
    if words[:1] and (words[0] in ("worker", "-A") or words[0].startswith("--app")):
        return 0 if "worker" in words else None
    return None


def _is_celery(word: str) -> bool:
    return _base(word) == "celery" or _CELERY_BY_VARIABLE.fullmatch(word) is not None


def _starts_multi(words: list[str]) -> bool:
    return "multi" in words and any(verb in words for verb in ("start", "restart"))


def _worker(
    words: list[str], wrappers: tuple[Wrapper, ...], environment: dict[str, str], text: str
) -> Command:
    options: dict[str, str] = {}
    flags: set[str] = set()
    rest = deque(words)
    while rest:
        word = rest.popleft()
        name, equals, value = word.partition("=")
        if word in _BY_OPTION:
            options[_BY_OPTION[word]] = rest.popleft() if rest else ""
        elif equals and name in _BY_OPTION:
            options[_BY_OPTION[name]] = value
        elif word in _BY_FLAG:
            flags.add(_BY_FLAG[word])
        elif word[:1] == "-" != word[1:2]:
            _short(word, options, flags)
    multi = "multi" in words and "worker" not in words
    return Command(
        text,
        words=tuple(words),
        wrappers=wrappers,
        environment=environment,
        options=options,
        flags=frozenset(flags),
        multi=multi,
    )


def _short(word: str, options: dict[str, str], flags: set[str]) -> None:
    """A short option joined with its value (``-c4``) or with others (``-EB``)."""
    if word[:2] in _BY_OPTION:
        options[_BY_OPTION[word[:2]]] = word[2:]
    elif set(word[1:]) <= set(_SHORT_FLAGS):
        flags.update(filter(None, (_SHORT_FLAGS[letter] for letter in word[1:])))


def _wrappers(words: Sequence[str]) -> tuple[Wrapper, ...]:
    """The programs among the words in front of celery, each with the options behind it."""
    found: list[tuple[str, list[str]]] = []
    for word in words:
        if word[:1] == "-":
            if found:
                found[-1][1].append(word)
        elif word != "exec":
            found.append((_base(word), []))
    return tuple(Wrapper(program, tuple(options)) for program, options in found)


def _base(word: str) -> str:
    return word.rpartition("/")[2]
