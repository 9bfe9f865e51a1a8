"""What a background process is started with, checked before anything is done."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from logging import Logger
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

#: The environment variable that tags a background process and its descendants.
TAG = "CELERY_GRACEFUL_PROCESS"

StrPath = str | os.PathLike[str]
Command = Sequence[StrPath | bytes]
#: Where output goes: a file, the task's log, a logger; ``None``: the last 64 KiB are kept.
Output = StrPath | Literal["log"] | Logger | None


@runtime_checkable
class Search(Protocol):
    """Searches the output of one process; true once something is found."""

    def __call__(self) -> object: ...

    def feed(self, data: bytes) -> None:
        """Take the next piece."""


@runtime_checkable
class Begins(Protocol):
    """A check that has to know what is there before the process is started."""

    def begin(self) -> Callable[[], object]:
        """The check of one process; a :class:`Search` is fed with what that writes.

        Raises:
            ProcessError: it is true already, by another process, and would prove nothing.
        """


#: Called again and again until it is true; an ``OSError`` counts as *not yet*.
Ready = Callable[[], object] | Begins


@dataclass(frozen=True, slots=True)
class StartOptions:
    """All that is known before the start; times in seconds.

    Raises:
        TypeError: ``ready`` cannot be called.
    """

    argv: tuple[bytes, ...]
    env: dict[bytes, bytes]
    cwd: bytes
    stop_signal: int
    stop_command: tuple[bytes, ...] | None
    grace: float
    ready: Ready | None
    ready_timeout: float
    interrupt: bool
    output: Path | Logger | Literal["log"] | None

    def __post_init__(self) -> None:
        ready = self.ready
        if ready is not None and not callable(ready) and not isinstance(ready, Begins):
            raise TypeError(f"ready={ready!r} cannot be called: use ready.port(…) or a function")

    @property
    def name(self) -> str:
        """The command as people would type it."""
        # What is not UTF-8 is shown by its codes: lone surrogates could not be logged or stored.
        return shlex.join(part.decode("utf-8", "backslashreplace") for part in self.argv)


def command(argv: Command | str, *, shell: bool = False) -> tuple[bytes, ...]:
    """A command as the system takes it.

    Raises:
        TypeError: a text without ``shell``, or a list with it.
        ValueError: it names no program, or has a null byte.
    """
    if not argv or not argv[0]:
        raise ValueError(f"{argv!r} names no program")
    if isinstance(argv, (str, bytes)):
        if not shell:
            raise TypeError(f"{argv!r} is a text: give a list of arguments, or shell=True")
        return (b"/bin/sh", b"-c", encoded(argv))
    if shell:
        raise TypeError(f"shell=True takes one text, not {argv!r}")
    return tuple(encoded(part) for part in argv)


def environment(env: Mapping[str, str]) -> dict[bytes, bytes]:
    """Variables as the system takes them.

    Raises:
        ValueError: a name that is empty or has an ``=``, or a null byte.
    """
    found = {encoded(name): encoded(value) for name, value in env.items()}
    for name in found:
        if not name or b"=" in name:
            raise ValueError(f"env: {os.fsdecode(name)!r} cannot be the name of a variable")
    return found


def encoded(text: StrPath | bytes) -> bytes:
    """A text as the system takes it.

    Raises:
        ValueError: it has a null byte, where the system would stop reading.
    """
    found = os.fsencode(text)
    if b"\0" in found:
        raise ValueError(f"{text!r} has a null byte, which no program can be given")
    return found


def output_target(output: Output) -> Path | Logger | Literal["log"] | None:
    """Where output goes; a file by its absolute path."""
    if output is None or isinstance(output, Logger):
        return output
    return "log" if output == "log" else Path(output).absolute()
