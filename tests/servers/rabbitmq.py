"""A RabbitMQ server from the system's package, without root and without its service."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amqp import Connection
from amqp.exceptions import AMQPError

from tests.harness.waiting import wait_for
from tests.servers.process import HOST, MissingProgram, Process, Server, free_port

START_TIMEOUT = 120.0
# Debian's wrapper in PATH changes to the user rabbitmq and to the service's folders.
_DEBIAN = "/usr/lib/rabbitmq/bin/rabbitmq-server"
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin"])
_CONFIG = "disk_free_limit.absolute = 1MB\nlog.console = false\n"


def find_program(name: str) -> str:
    """The path of a program of RabbitMQ's.

    Raises:
        MissingProgram: it is not installed.
    """
    if name == "rabbitmq-server" and os.access(_DEBIAN, os.X_OK):
        return _DEBIAN
    if found := shutil.which(name, path=_PATH):
        return found
    raise MissingProgram(name, "install the system's package rabbitmq-server")


class RabbitMQ(Server):
    """A node with its own name, ports, folder and port mapper (epmd).

    The node reads an Erlang shell from a pipe. That makes a vhost within milliseconds, where
    ``rabbitmqctl`` takes seconds, and ends the node when the pipe's other end is gone.
    """

    def __init__(self) -> None:
        self._programs = (find_program("epmd"), find_program("rabbitmq-server"))
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="rabbitmq-"))
        self._env = self._environment(epmd_port=free_port())
        self._numbers = itertools.count(1)
        self._epmd: Process | None = None

    @property
    def url(self) -> str:
        """The URL of the vhost ``/``."""
        return self._url("/")

    def start(self) -> RabbitMQ:
        """Start the node and wait until it speaks AMQP."""
        epmd, server = self._programs
        self._epmd = Process(
            [epmd, "-port", self._env["ERL_EPMD_PORT"], "-address", HOST],
            log=self._folder / "epmd.log",
            env=self._env,
        )
        self._process = Process(
            [server], log=self._folder / "node.log", env=self._env, stdin=subprocess.PIPE
        )
        self._process.wait_until(self._speaks_amqp, START_TIMEOUT)
        return self

    def kill(self) -> None:
        """SIGKILL the node, as a crash does. ``start`` brings it back with what was durable."""
        self._running().kill()
        self._kill_port_mapper()

    def close(self) -> None:
        """End it and remove its folder. Idempotent."""
        super().close()
        self._kill_port_mapper()

    def _kill_port_mapper(self) -> None:
        if self._epmd is not None:
            self._epmd.kill()

    @contextmanager
    def vhost(self) -> Iterator[str]:
        """The URL of a new vhost, which is removed with all its queues at the end."""
        name = f"test-{next(self._numbers)}"
        self._erlang(
            f'rabbit_vhost:add(<<"{name}">>, <<"guest">>), '
            f'rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"{name}">>, '
            '<<".*">>, <<".*">>, <<".*">>, <<"guest">>).'
        )
        wait_for(lambda: self._admits(name), 60, lambda: f"vhost {name}\n{self._running().tail()}")
        try:
            yield self._url(name)
        finally:
            self._erlang(f'rabbit_vhost:delete(<<"{name}">>, <<"guest">>).')

    def close_connections(self) -> None:
        """Close all clients' connections from the server's side, as an operator can."""
        self._erlang('rabbit_networking:close_all_connections("closed by a test").')

    def unacknowledged(self, url: str) -> int:
        """How many messages of a vhost are delivered and not acknowledged."""
        vhost = url.rpartition("/")[2]
        answer = self._folder / f"answer-{next(self._numbers)}"
        self._erlang(
            f'file:write_file("{answer}.new", integer_to_list(lists:sum('
            "[N || [{messages_unacknowledged, N}] <- "
            f'rabbit_amqqueue:info_all(<<"{vhost}">>, [messages_unacknowledged])]))), '
            f'file:rename("{answer}.new", "{answer}").'
        )
        wait_for(answer.exists, 60, lambda: f"messages of {vhost}\n{self._running().tail()}")
        text = answer.read_text()
        answer.unlink()
        return int(text)

    @contextmanager
    def consumer_timeout(self, seconds: float) -> Iterator[None]:
        """Channels opened meanwhile are closed when a message is held longer than that."""
        timeout = f"application:set_env(rabbit, consumer_timeout, {round(seconds * 1000)})"
        self._erlang(f"{timeout}, application:set_env(rabbit, channel_tick_interval, 500).")
        try:
            yield
        finally:
            self._erlang(
                "application:set_env(rabbit, consumer_timeout, 1800000), "
                "application:set_env(rabbit, channel_tick_interval, 60000)."
            )

    # --- inside -------------------------------------------------------------------------------

    def _url(self, vhost: str) -> str:
        return f"amqp://guest:guest@{HOST}:{self.port}/{vhost}"

    def _erlang(self, expression: str) -> None:
        stdin = self._running().popen.stdin
        if stdin is None or stdin.closed:
            return  # the node is gone, and its vhosts with it
        stdin.write(f"catch begin {expression.rstrip('.')} end.\n".encode())
        stdin.flush()

    def _speaks_amqp(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=2) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return connection.recv(1) == b"\x01"  # a method frame: connection.start
        except OSError:
            return False  # not listening yet

    def _admits(self, vhost: str) -> bool:
        connection = Connection(f"{HOST}:{self.port}", virtual_host=vhost, connect_timeout=30)
        try:
            connection.connect()
        except (AMQPError, OSError):
            return False  # unknown, or without permissions, until the shell has read its lines
        finally:
            connection.close()
        return True

    def _environment(self, *, epmd_port: int) -> dict[str, str]:
        config = self._folder / "rabbitmq.conf"
        config.write_text(_CONFIG)
        return {
            "PATH": _PATH,
            "HOME": str(self._folder),  # where Erlang keeps its cookie
            "LANG": "C.UTF-8",
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(epmd_port),
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_CONF_ENV_FILE": str(self._folder / "no-environment-file"),
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "no-plugins"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "data"),
            "RABBITMQ_NODENAME": f"test-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(self.port),
        }
