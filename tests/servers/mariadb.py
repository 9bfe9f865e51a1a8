"""A MariaDB server from the system's package, in a folder of its own."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pymysql

from tests.servers.process import HOST, MissingProgram, Process, Server, ServerError, free_port
from tests.servers.users import folder_for, other_user

START_TIMEOUT = 60.0
#: Neither case nor accents nor spaces at the end distinguish two texts.
COLLATION = "utf8mb4_unicode_ci"
_SBIN = "/usr/sbin:/usr/local/sbin:/usr/libexec"
_SETTINGS = (
    "--bind-address=" + HOST,
    "--skip-name-resolve",
    "--skip-log-bin",
    "--character-set-server=utf8mb4",
    "--collation-server=" + COLLATION,
    # What is committed outlives a SIGKILL, and need not outlive a power cut.
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-doublewrite=0",
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=32M",
)


def find_program(*names: str) -> str:
    """The path of the first of ``names`` that is installed.

    Raises:
        MissingProgram: none is.
    """
    for name in names:
        if found := shutil.which(name) or shutil.which(name, path=_SBIN):
            return found
    raise MissingProgram(names[0], "install the system's package mariadb-server")


class MariaDB(Server):
    """A server with the user ``root``, who has no password, on a port of its own."""

    def __init__(self) -> None:
        self._install = find_program("mariadb-install-db")
        self._server = find_program("mariadbd")
        self.port = free_port()
        self._user = other_user("MariaDB", ("mysql", "nobody"))
        self._folder = folder_for(self._user, "mariadb-")
        self._numbers = itertools.count(1)
        #: Databases that were given back, by collation.
        self._empty: dict[str, list[str]] = defaultdict(list)

    @property
    def url(self) -> str:
        """The URL of the server without a database, for SQLAlchemy with PyMySQL."""
        return self._url("")

    def start(self) -> MariaDB:
        """Make the database folder when there is none, start the server, wait until it answers."""
        data = self._folder / "data"
        if not data.exists():
            self._make()
        self._process = Process(
            [
                *(self._server, "--no-defaults", f"--datadir={data}", f"--port={self.port}"),
                # The path of a socket may be 107 bytes long.
                *(f"--socket={self._folder}/socket", f"--pid-file={self._folder}/pid"),
                # A server that starts removes the temporary tables of all that share the folder.
                f"--tmpdir={self._folder}",
                *_SETTINGS,
            ],
            log=self._folder / "server.log",
            user=self._user,
        )
        self._process.wait_until(self._answers, START_TIMEOUT)
        return self

    def restart(self) -> None:
        """Stop it, connections cut off, and start it on the same port with its data."""
        self._running().stop(signal.SIGTERM)
        self.start()

    @contextmanager
    def database(self, collation: str = COLLATION) -> Iterator[str]:
        """The URL of an empty database, which loses its connections and tables at the end."""
        given_back = self._empty[collation]
        name = given_back.pop() if given_back else f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE IF NOT EXISTS {name} COLLATE {collation}")
        yield self._url(name)
        for (connection,) in self.execute(
            "SELECT id FROM information_schema.processlist WHERE db = %s", name
        ):
            self.execute(f"KILL {connection}", missing=1094)
        self.execute(f"DROP DATABASE {name}")
        given_back.append(name)

    def execute(
        self, statement: str, *parameters: object, missing: int = 0
    ) -> tuple[tuple[Any, ...], ...]:
        """Run one statement as ``root`` and return its rows.

        Args:
            missing: an error number that means that there was nothing to do.
        """
        with closing(self._connect()) as connection, connection.cursor() as cursor:
            try:
                cursor.execute(statement, parameters)
            except pymysql.MySQLError as exc:
                if exc.args[0] != missing:
                    raise
                return ()
            rows: tuple[tuple[Any, ...], ...] = cursor.fetchall()
            return rows

    def _connect(self) -> Any:
        return pymysql.connect(
            host=HOST, port=self.port, user="root", autocommit=True, connect_timeout=30
        )

    def _url(self, database: str) -> str:
        return f"mysql+pymysql://root@{HOST}:{self.port}/{database}?charset=utf8mb4"

    def _make(self) -> None:
        made = subprocess.run(
            [
                *(self._install, "--no-defaults", f"--datadir={self._folder}/data"),
                *("--auth-root-authentication-method=normal", "--skip-test-db"),
                "--skip-name-resolve",
                *_SETTINGS[-3:],
            ],
            cwd=self._folder,
            env={**os.environ, "TMPDIR": str(self._folder)},
            user=self._user,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if made.returncode != 0:
            raise ServerError(
                f"mariadb-install-db ended with {made.returncode}\n{made.stdout}{made.stderr}"
            )

    def _answers(self) -> bool:
        try:
            self._connect().close()
        except pymysql.OperationalError:
            return False  # not listening yet
        return True
