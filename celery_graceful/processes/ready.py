"""When a background process is ready: checks for ``background_process(ready=…)``.

Each is called again and again until it is true. A function of your own will do as well. If a check
is true before the process is started, it is about another process: the start waits until that has
ended, or the check ignores it.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from celery_graceful.errors import ProcessError

#: Seconds for one attempt, so long the end of the process may go unnoticed; and for the look before
#: the start, which a network that is not there yet must not hold up.
_ATTEMPT, _LOOK = 1.0, 0.2
#: What is kept of a line that does not end, in bytes.
_LONGEST_LINE = 64 * 1024


class _Answer(ABC):
    """Somebody answers; before the start, nobody may."""

    __slots__ = ()

    def __call__(self) -> bool:
        return self.answers(_ATTEMPT)

    def begin(self) -> Callable[[], object]:
        try:
            taken = self.answers(_LOOK)
        except OSError:
            taken = False
        if taken:
            raise ProcessError(
                f"not started: {self} answers already, so another process is there, and this one "
                "could not be distinguished from it: end that one, or use another place"
            )
        return self

    @abstractmethod
    def answers(self, seconds: float) -> bool:
        """One attempt."""


@dataclass(frozen=True, slots=True)
class _Port(_Answer):
    host: str
    number: int

    def answers(self, seconds: float) -> bool:
        address = self.host, self.number
        with contextlib.closing(socket.create_connection(address, seconds)) as probe:
            # Where nobody listens, the system may choose the same port for this end, and connect
            # the socket to itself.
            return bool(probe.getsockname() != probe.getpeername())

    def __str__(self) -> str:
        return f"port {self.number} of {self.host}"


@dataclass(frozen=True, slots=True)
class _UnixSocket(_Answer):
    path: str

    def answers(self, seconds: float) -> bool:
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
            probe.settimeout(seconds)
            probe.connect(self.path)
            return True

    def __str__(self) -> str:
        return f"the socket {self.path}"


@dataclass(frozen=True, slots=True)
class _Http(_Answer):
    url: SplitResult
    status: int | None

    def answers(self, seconds: float) -> bool:
        from http import client  # not cheap, and hardly used

        kind = client.HTTPSConnection if self.url.scheme == "https" else client.HTTPConnection
        connection = kind(self.url.hostname or "", self.url.port, timeout=seconds)
        with contextlib.closing(connection):
            target = self.url._replace(scheme="", netloc="", fragment="").geturl() or "/"
            connection.request("GET", target, headers={"Connection": "close"})
            try:
                with contextlib.closing(connection.getresponse()) as answer:
                    found: int = answer.status
            except client.HTTPException:
                return False  # whoever answers, does not speak HTTP yet
        return found == self.status if self.status else found < 400

    def __str__(self) -> str:
        wanted = self.status or "below 400"
        return f"{self.url.geturl()} with status {wanted}"


@dataclass(frozen=True, slots=True)
class _Path:
    path: str

    def begin(self) -> Callable[[], object]:
        before = self._found()
        return lambda: self._found() not in (None, before)

    def _found(self) -> tuple[int, int, int] | None:
        """What is there; another when it was made or written anew."""
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_mtime_ns

    def __str__(self) -> str:
        return f"the path {self.path}"


class _Search:
    """Reads whole lines of one process, and the last one while it is being written."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern
        self._found = False
        self._rest = b""

    def __call__(self) -> bool:
        return self._found

    def feed(self, data: bytes) -> None:
        if self._found:
            return
        lines = (self._rest + data).split(b"\n")
        self._rest = lines[-1][-_LONGEST_LINE:]
        for line in lines:
            if self._pattern.search(line.decode("utf-8", "replace")):
                self._found = True


@dataclass(frozen=True, slots=True)
class _LogLine:
    pattern: re.Pattern[str]

    def begin(self) -> _Search:
        return _Search(self.pattern)

    def __str__(self) -> str:
        return f"a line with {self.pattern.pattern!r}"


def port(host: str, number: int) -> _Port:
    """Ready when a TCP connection to ``host`` and port ``number`` can be opened.

    If it can be before the start, that is waited out.
    """
    return _Port(host, number)


def unix_socket(path: str | os.PathLike[str]) -> _UnixSocket:
    """Ready when something listens on the socket at ``path``.

    If something does before the start, that is waited out.
    """
    return _UnixSocket(os.fspath(path))


def path(path: str | os.PathLike[str]) -> _Path:
    """Ready when ``path`` exists; one that was there before the start, when it is written anew."""
    return _Path(os.fspath(path))


def log_line(pattern: str | re.Pattern[str]) -> _LogLine:
    """Ready when a line of the output has ``pattern``, a regular expression, anywhere in it.

    Raises:
        TypeError: the pattern is one of bytes; lines are text.
    """
    compiled = re.compile(pattern)
    if not isinstance(compiled.pattern, str):
        raise TypeError(f"{pattern!r} searches bytes, but the lines of output are text")
    return _LogLine(compiled)


def http(url: str, *, status: int | None = None) -> _Http:
    """Ready when a GET of ``url`` is answered with ``status``; left out: any below 400.

    Redirects are not followed, and proxies not used. If the answer is right before the start, that
    is waited out.

    Raises:
        ValueError: the URL is not one of http or https.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is no URL of http or https")
    return _Http(parts, status)
