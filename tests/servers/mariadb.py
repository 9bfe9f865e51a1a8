"""A MariaDB server from the system's package, in a folder of its own."""

from __future__ import annotations

import shutil
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import pymysql

from tests.servers.process import HOST, MissingProgram
from tests.servers.sql_server import SqlServer

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


class MariaDB(SqlServer):
    """A server with the user ``root``, who has no password; databases sort by :data:`COLLATION`."""

    kind, user, stop_signal = "MariaDB", "mysql", signal.SIGTERM

    def __init__(self) -> None:
        self._install = find_program("mariadb-install-db")
        self._server = find_program("mariadbd")
        super().__init__()

    @property
    def url(self) -> str:
        """The URL of the server without a database, for SQLAlchemy with PyMySQL."""
        return self._url("")

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

    def _create(self, name: str, collation: str) -> None:
        self.execute(f"CREATE DATABASE {name} COLLATE {collation or COLLATION}")

    def _clear(self, name: str, collation: str) -> None:
        for (connection,) in self.execute(
            "SELECT id FROM information_schema.processlist WHERE db = %s", name
        ):
            self.execute(f"KILL {connection}", missing=1094)
        self.execute(f"DROP DATABASE {name}")
        self._create(name, collation)

    def _making_command(self, data: Path) -> list[str]:
        return [
            *(self._install, "--no-defaults", f"--datadir={data}"),
            *("--auth-root-authentication-method=normal", "--skip-test-db"),
            "--skip-name-resolve",
            *_SETTINGS[-3:],
        ]

    def _server_command(self, data: Path) -> list[str]:
        return [
            *(self._server, "--no-defaults", f"--datadir={data}", f"--port={self.port}"),
            # The path of a socket may be 107 bytes long.
            *(f"--socket={self._folder}/socket", f"--pid-file={self._folder}/pid"),
            # A server that starts removes the temporary tables of all that share the folder.
            f"--tmpdir={self._folder}",
            *_SETTINGS,
        ]

    def _answers(self) -> bool:
        try:
            self._connect().close()
        except pymysql.OperationalError:
            return False  # not listening yet
        return True
