"""A cluster of Valkey servers."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.harness.waiting import wait_for
from tests.servers.process import HOST, Process, free_port
from tests.servers.valkey import find_program

SLOTS, MASTERS = 16384, 3


class Cluster:
    """Three masters, each with a third of the slots, and a fourth node without any.

    Attributes:
        ports: of the four nodes, in this order.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="cluster-"))
        self.ports = [free_port() for _ in range(MASTERS + 1)]
        self._processes: dict[int, Process] = {}
        self._stack = ExitStack()
        self._clients: dict[int, Any] = {}

    @property
    def url(self) -> str:
        """The URL of a store there, with two of its nodes."""
        return ";".join(f"redis+cluster://{HOST}:{port}" for port in self.ports[:2])

    def ask(self, port: int, *words: object) -> Any:
        """What one node answers to a command."""
        return self._clients[port].execute_command(*words)

    def slot_of(self, key: str) -> int:
        """The slot of a key."""
        return int(self.ask(self.ports[-1], "CLUSTER KEYSLOT", key))

    def owner(self, key: str) -> int:
        """The port of the master that has a key, as the fourth node knows it."""
        slot = self.slot_of(key)
        ranges = self.ask(self.ports[-1], "CLUSTER SLOTS")
        return next(int(master[1]) for first, last, master, *_ in ranges if first <= slot <= last)

    def move(
        self, key: str, target: int, *, finish: bool = True, names: Sequence[str] = ()
    ) -> None:
        """Move a key's slot to another node, with all that is in it.

        Args:
            finish: else the keys are moved, and the slot is still being so.
            names: only these keys, instead of all.
        """
        slot, source = self.slot_of(key), self.owner(key)
        self.ask(target, "CLUSTER SETSLOT", slot, "IMPORTING", self._name(source))
        self.ask(source, "CLUSTER SETSLOT", slot, "MIGRATING", self._name(target))
        for name in names or self.ask(source, "CLUSTER GETKEYSINSLOT", slot, 10_000):
            self.ask(source, "MIGRATE", HOST, target, name, 0, 20_000)
        if finish:
            self.finish(key, source, target)

    def finish(self, key: str, source: int, target: int) -> None:
        """End a move."""
        slot = self.slot_of(key)
        for port in (target, source, *self.ports):
            if port != self.ports[-1] or port == target:
                self.ask(port, "CLUSTER SETSLOT", slot, "NODE", self._name(target))
        wait_for(lambda: self.owner(key) == target, 20, "everybody to know of the move")

    def replicate(self, port: int) -> None:
        """Make the fourth node a replica of another."""
        spare = self.ports[-1]
        self.ask(spare, "CLUSTER REPLICATE", self._name(port))
        wait_for(
            lambda: self.ask(spare, "INFO", "replication").get("master_link_status") == "up",
            30,
            "the replica",
        )

    def kill(self, port: int) -> None:
        """SIGKILL one node."""
        self._processes[port].kill()

    def flush(self) -> None:
        """Forget all keys."""
        for port in self.ports[:MASTERS]:
            self.ask(port, "FLUSHALL")

    def __enter__(self) -> Cluster:
        for port in self.ports:
            self._start(port)
        for port in self.ports:
            self._processes[port].wait_until(lambda port=port: self._answers(port), 60)  # type: ignore[misc]
        self._join()
        return self

    def _start(self, port: int) -> None:
        folder = self._folder / str(port)
        folder.mkdir()
        options = {
            "port": port,
            "cluster-port": free_port(),
            "bind": HOST,
            "dir": folder,
            "cluster-enabled": "yes",
            "cluster-node-timeout": 1000,
            "save": "",
            "loglevel": "warning",
        }
        argv = [find_program()]
        for name, value in options.items():
            argv += [f"--{name}", str(value)]
        self._processes[port] = Process(argv, log=folder / "server.log")
        client = redis.Redis(
            host=HOST, port=port, socket_timeout=20, retry=Retry(NoBackoff(), 0), protocol=2
        )
        self._clients[port] = self._stack.enter_context(client)
        self._buses = {**getattr(self, "_buses", {}), port: options["cluster-port"]}

    def _answers(self, port: int) -> bool:
        try:
            return bool(self.ask(port, "PING"))
        except redis.RedisError:
            return False

    def _join(self) -> None:
        share = SLOTS // MASTERS + 1
        first, *others = self.ports
        for number, port in enumerate(self.ports[:MASTERS]):
            last = min((number + 1) * share, SLOTS) - 1
            self.ask(port, "CLUSTER ADDSLOTSRANGE", number * share, last)
        for number, port in enumerate(self.ports, 1):
            self.ask(port, "CLUSTER SET-CONFIG-EPOCH", number)
        for port in others:
            self.ask(first, "CLUSTER MEET", HOST, port, self._buses[port])
        wait_for(lambda: all(map(self._is_whole, self.ports)), 60, "the cluster to be whole")

    def _is_whole(self, port: int) -> bool:
        info = self.ask(port, "CLUSTER INFO")
        return (info["cluster_state"], info["cluster_known_nodes"]) == ("ok", str(len(self.ports)))

    def _name(self, port: int) -> str:
        found = self.ask(port, "CLUSTER MYID")
        return found.decode() if isinstance(found, bytes) else str(found)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
        for process in self._processes.values():
            process.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
