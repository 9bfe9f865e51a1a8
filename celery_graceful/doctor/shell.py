"""Texts for a shell, taken apart as far as it takes to find a worker in them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from itertools import dropwhile

__all__ = ["SHELLS", "Simple", "assignments", "simple_commands"]

SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh"})

#: Digits and arrows are looked at from their first on only: else it would take quadratic time.
_REDIRECTION = re.compile(
    r"(?<![\d<>])\d*[<>]+&\s*\d*-?|&>>?\s*\S+"
    r"|(?<![\d<>])\d*(?<![<>])[<>]{1,2}\s*[^\s<>&|;]+"
)
_COMMENT = re.compile(r"(?m)(?:^|(?<=\s))#.*$")
_SUBSTITUTION = re.compile(r"\$\([^()]*\)|`[^`]*`")
#: Words that begin or end compound commands.
_OPENING = frozenset({"if", "then", "else", "elif", "do", "while", "until", "{", "(", "!", "time"})
_CLOSING = frozenset({"fi", "done", "esac", "}"})
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


@dataclass(frozen=True, slots=True)
class Simple:
    """One command of a text, and what joins it to the next."""

    words: tuple[str, ...]
    #: ``;``, ``&&``, ``||``, ``|``, ``&``, or empty at the end.
    joined: str = ""
    #: Whether it reads from a pipe.
    piped_to: bool = False


def simple_commands(text: str) -> list[Simple]:
    """The commands of a shell text.

    Raises:
        ValueError: a quotation does not end.
    """
    text = _SUBSTITUTION.sub("$X", _COMMENT.sub("", text.replace("\\\n", " ")))
    lexer = shlex.shlex(_REDIRECTION.sub(" ", text), posix=True, punctuation_chars=";&|\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    found: list[Simple] = []
    words: list[str] = []
    for token in lexer:
        if set(token) <= set(";&|\n"):
            _end(found, words, token.strip("\n") or ";")
        else:
            words.append(token)
    _end(found, words, "")
    return found


def _end(found: list[Simple], words: list[str], operator: str) -> None:
    # Words of a compound command, or the label of a case.
    own = dropwhile(lambda word: word in _OPENING or word.endswith(")"), list(words))
    words[:] = own
    if words and words[0] in _CLOSING:
        words.clear()
    if words:
        piped = bool(found) and found[-1].joined in ("|", "|&")
        found.append(Simple(tuple(words), operator, piped))
        words.clear()


def assignments(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """What is set in front of a command (``A=1 env B=2 celery``), and the rest of the words."""
    given: dict[str, str] = {}
    for at, word in enumerate(words):
        if not (_ASSIGNMENT.match(word) or word in ("env", "export", "/usr/bin/env")):
            return given, words[at:]
        name, equals, value = word.partition("=")
        if equals:
            given[name] = value
    return given, []
