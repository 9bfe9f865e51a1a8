"""A PostgreSQL server from the system's package, in a folder of its own."""

from __future__ import annotations

import re
import shutil
import signal
from pathlib import Path

import psutil
import psycopg

from tests.harness.family import is_alive
from tests.harness.waiting import wait_for
from tests.servers.process import HOST, MissingProgram, Process
from tests.servers.sql_server import SqlServer


def find_program(name: str) -> str:
    """The path of ``initdb`` or ``postgres``, the newest version's when there are several.

    Raises:
        MissingProgram: it is not installed.
    """
    packaged = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=_version)
    if packaged:
        return str(packaged[-1])
    if found := shutil.which(name):
        return found
    raise MissingProgram(name, "install the system's package postgresql")


def _version(program: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", program.parts[-3])]


class Postgres(SqlServer):
    """A server with the superuser ``postgres`` and no passwords.

    Databases sort by bytes, or by an ICU locale (``sv``, ``de-u-co-phonebk``), which needs
    PostgreSQL 15.
    """

    kind, user, stop_signal = "PostgreSQL", "postgres", signal.SIGINT

    def __init__(self) -> None:
        self._initdb, self._server = find_program("initdb"), find_program("postgres")
        super().__init__()

    @property
    def url(self) -> str:
        """The URL of the database ``postgres``, for SQLAlchemy with psycopg."""
        return self._url("postgres")

    def kill(self) -> None:
        """SIGKILL it, as a crash does. ``start`` brings it back with its data."""
        postmaster = psutil.Process(self._running().pid)
        others = postmaster.children(recursive=True)
        self._running().kill()
        # Else they hold memory that a start needs.
        wait_for(lambda: not any(map(is_alive, others)), 10, lambda: f"the end of {others}")

    def _end(self, process: Process) -> None:
        process.stop(signal.SIGQUIT)

    def fresh_url(self) -> str:
        """The URL of a new, empty database."""
        return self._url(self._new())

    def _url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@{HOST}:{self.port}/{database}"

    def _dsn(self, database: str = "postgres") -> str:
        return self._url(database).replace("+psycopg", "") + "?connect_timeout=30"

    def _create(self, name: str, collation: str) -> None:
        sorted_by = f"TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE '{collation}'"
        with psycopg.connect(self._dsn(), autocommit=True) as connection:
            connection.execute(
                f'CREATE DATABASE "{name}" {sorted_by if collation else ""}'.encode()
            )

    def _clear(self, name: str, collation: str) -> None:
        with psycopg.connect(self._dsn(), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
                [name],
            )
        with psycopg.connect(self._dsn(name), autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
            connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")

    def _making_command(self, data: Path) -> list[str]:
        return [
            *(self._initdb, "-D", str(data), "-U", "postgres", "--auth=trust", "--no-sync"),
            *("--encoding=UTF8", "--locale=C", "--no-instructions"),
        ]

    def _server_command(self, data: Path) -> list[str]:
        return [
            *(self._server, "-D", str(data), "-h", HOST, "-p", str(self.port)),
            *("-k", str(self._folder), "-F", "-c", "full_page_writes=off"),
        ]

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._dsn()).close()
        except psycopg.OperationalError:
            return False  # not listening yet, or still starting up
        return True
