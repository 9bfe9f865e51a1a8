"""A PostgreSQL server from the system's package, in a folder of its own."""

from __future__ import annotations

import itertools
import re
import shutil
import signal
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg

from tests.harness.family import is_alive
from tests.harness.waiting import wait_for
from tests.servers.process import HOST, MissingProgram, Process, Server, ServerError, free_port
from tests.servers.users import folder_for, other_user

START_TIMEOUT = 60.0


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


class Postgres(Server):
    """A server with the superuser ``postgres`` and no passwords, on a port of its own."""

    def __init__(self) -> None:
        self._initdb, self._server = find_program("initdb"), find_program("postgres")
        self.port = free_port()
        self._user = other_user("PostgreSQL", ("postgres", "nobody"))
        self._folder = folder_for(self._user, "postgres-")
        self._numbers = itertools.count(1)
        #: Databases that were given back, by ICU locale; a new one costs ten megabytes on disk.
        self._empty: dict[str, list[str]] = defaultdict(list)

    @property
    def url(self) -> str:
        """The URL of the database ``postgres``, for SQLAlchemy with psycopg."""
        return self._url("postgres")

    def start(self) -> Postgres:
        """Make the database folder when there is none, start the server, wait until it answers."""
        data = self._folder / "data"
        if not data.exists():
            self._make(data)
        self._process = Process(
            [
                *(self._server, "-D", str(data), "-h", HOST, "-p", str(self.port)),
                *("-k", str(self._folder), "-F", "-c", "full_page_writes=off"),
            ],
            log=self._folder / "server.log",
            user=self._user,
        )
        self._process.wait_until(self._answers, START_TIMEOUT)
        return self

    def kill(self) -> None:
        """SIGKILL it, as a crash does. ``start`` brings it back with its data."""
        postmaster = psutil.Process(self._running().pid)
        others = postmaster.children(recursive=True)
        self._running().kill()
        # Else they hold memory that a start needs.
        wait_for(lambda: not any(map(is_alive, others)), 10, lambda: f"the end of {others}")

    def restart(self) -> None:
        """Stop it, connections cut off, and start it on the same port with its data."""
        self._running().stop(signal.SIGINT)
        self.start()

    def _end(self, process: Process) -> None:
        process.stop(signal.SIGQUIT)

    def fresh_url(self) -> str:
        """The URL of a new, empty database."""
        return self._url(self._new())

    @contextmanager
    def database(self, icu_locale: str = "") -> Iterator[str]:
        """The URL of an empty database, which loses its connections and tables at the end.

        Args:
            icu_locale: sorts texts as this locale does (``sv``, ``de-u-co-phonebk``), which needs
                PostgreSQL 15; by their bytes when empty.
        """
        given_back = self._empty[icu_locale]
        name = given_back.pop() if given_back else self._new(icu_locale)
        yield self._url(name)
        with psycopg.connect(self._dsn(), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
                [name],
            )
        with psycopg.connect(self._dsn(name), autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
            connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
        given_back.append(name)

    def _new(self, icu_locale: str = "") -> str:
        name = f"test_{next(self._numbers)}"
        sorted_by = f"TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE '{icu_locale}'"
        with psycopg.connect(self._dsn(), autocommit=True) as connection:
            connection.execute(
                f'CREATE DATABASE "{name}" {sorted_by if icu_locale else ""}'.encode()
            )
        return name

    def _url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@{HOST}:{self.port}/{database}"

    def _dsn(self, database: str = "postgres") -> str:
        return self._url(database).replace("+psycopg", "") + "?connect_timeout=30"

    def _make(self, data: Path) -> None:
        made = subprocess.run(
            [
                *(self._initdb, "-D", str(data), "-U", "postgres", "--auth=trust", "--no-sync"),
                *("--encoding=UTF8", "--locale=C", "--no-instructions"),
            ],
            cwd=self._folder,
            user=self._user,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if made.returncode != 0:
            raise ServerError(f"initdb ended with {made.returncode}\n{made.stdout}{made.stderr}")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._dsn()).close()
        except psycopg.OperationalError:
            return False  # not listening yet, or still starting up
        return True
