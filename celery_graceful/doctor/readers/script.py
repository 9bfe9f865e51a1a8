"""Entry scripts: what an image or a Procfile starts in place of ``celery`` itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from celery_graceful.doctor.command import Command
from celery_graceful.doctor.facts import Deployed, Manager, Place
from celery_graceful.doctor.parse import parse_shell
from celery_graceful.doctor.readers.texts import text_of

__all__ = ["is_script", "read_script", "script_behind"]

_SHEBANG = re.compile(r"^#!\s*\S*/(?:env\s+(?:-S\s+)?)?(?:ba|da|a|z|k)?sh\b")
_START = re.compile(r"\bcelery\b|\$\{?CELERY")


def is_script(text: str) -> bool:
    """Whether a text is a script for a shell."""
    return _SHEBANG.match(text) is not None


def read_script(text: str, file: str) -> Iterator[Deployed]:
    """The first worker that a script starts. Who runs the script is not known."""
    command = _parse(text)
    if command.is_worker:
        yield Deployed(
            manager=Manager.SCRIPT, name="the script", place=_place(text, file), command=command
        )


def script_behind(words: tuple[str, ...], folder: Path) -> tuple[Command, Place] | None:
    """The worker that a command starts by a script of the project, if it does.

    Args:
        words: the command, such as ``./bin/worker``.
        folder: where its paths begin.
    """
    for word in words:
        path = folder / word
        if "/" in word and not word.startswith("/") and path.is_file():
            text = text_of(path)
            command = _parse(text) if is_script(text) else Command("")
            return (command, _place(text, str(path))) if command.is_worker else None
    return None


def _parse(text: str) -> Command:
    # bash gives its place to the last command of bash -c, not to that of a script.
    return parse_shell(text, shell="sh")


def _place(text: str, file: str) -> Place:
    lines = enumerate(text.splitlines(), 1)
    found = (
        at
        for at, line in lines
        if _START.search(line)
        and re.search(r"\b(?:worker|multi)\b", line)
        and not line.lstrip().startswith("#")
    )
    return Place(file, next(found, 0))
