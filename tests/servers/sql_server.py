"""What servers of SQL databases share: a folder of their own, and empty databases, used again."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, TypeVar

from tests.servers.process import Process, Server, ServerError, free_port
from tests.servers.users import folder_for, other_user

START_TIMEOUT = 60.0

_S = TypeVar("_S", bound="SqlServer")


class SqlServer(Server):
    """A server on a port of its own, whose administrator has no password."""

    #: Its name for people, the user that it runs as where this process is root's, and the signal
    #: that stops it at once, connections cut off.
    kind: ClassVar[str]
    user: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self) -> None:
        self.port = free_port()
        self._user = other_user(self.kind, (self.user, "nobody"))
        self._folder = folder_for(self._user, f"{self.kind.lower()}-")
        self._numbers = itertools.count(1)
        #: Databases that were given back, by collation: a new one costs megabytes on disk.
        self._empty: dict[str, list[str]] = defaultdict(list)

    def start(self: _S) -> _S:
        """Make the database folder when there is none, start the server, wait until it answers."""
        data = self._folder / "data"
        if not data.exists():
            self._make(data)
        self._process = Process(
            self._server_command(data), log=self._folder / "server.log", user=self._user
        )
        self._process.wait_until(self._answers, START_TIMEOUT)
        return self

    def restart(self) -> None:
        """Stop it, connections cut off, and start it on the same port with its data."""
        self._running().stop(self.stop_signal)
        self.start()

    @contextmanager
    def database(self, collation: str = "") -> Iterator[str]:
        """The URL of an empty database, which loses its connections and tables at the end.

        Args:
            collation: how it sorts texts; see the kinds of servers.
        """
        given_back = self._empty[collation]
        name = given_back.pop() if given_back else self._new(collation)
        yield self._url(name)
        self._clear(name, collation)
        given_back.append(name)

    def _new(self, collation: str = "") -> str:
        name = f"test_{next(self._numbers)}"
        self._create(name, collation)
        return name

    def _make(self, data: Path) -> None:
        command = self._making_command(data)
        made = subprocess.run(
            command,
            cwd=self._folder,
            env={**os.environ, "TMPDIR": str(self._folder)},
            user=self._user,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if made.returncode != 0:
            program = Path(command[0]).name
            raise ServerError(f"{program} ended with {made.returncode}\n{made.stdout}{made.stderr}")

    @abstractmethod
    def _making_command(self, data: Path) -> list[str]: ...

    @abstractmethod
    def _server_command(self, data: Path) -> list[str]: ...

    @abstractmethod
    def _answers(self) -> bool: ...

    @abstractmethod
    def _url(self, database: str) -> str: ...

    @abstractmethod
    def _create(self, name: str, collation: str) -> None: ...

    @abstractmethod
    def _clear(self, name: str, collation: str) -> None: ...
