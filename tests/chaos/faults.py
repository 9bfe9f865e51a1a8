"""The faults: each is injected into the crew or the servers, some end by themselves later."""

from __future__ import annotations

import heapq
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from signal import SIGKILL, SIGTERM

from tests.chaos import damage
from tests.chaos.crew import Crew
from tests.chaos.plan import Planned
from tests.chaos.servers import Servers
from tests.harness import Worker

#: Records that one fault damages; the rest of the chaos run goes on beside them.
NEIGHBOURS = 5

Undo = Callable[[], object]

#: Within so many seconds a record that vanished is written back: at the next checkpoint.
WRITTEN_BACK = 5.0


@dataclass
class Fault:
    """A fault that was injected: when, into which processes, and when it was over."""

    number: int
    kind: str
    role: str
    at: float
    until: float
    #: The main process that it struck, and the processes in particular.
    worker: int = 0
    pids: tuple[int, ...] = ()
    #: The run whose record it deleted.
    run: str = ""


class Faults:
    """Injects faults, undoes them in time, and keeps a log.

    Args:
        crew: the workers.
        servers: the servers.
        log: a file that gets a line of JSON when a fault begins, and one when it is over.
    """

    def __init__(self, crew: Crew, servers: Servers, log: Path) -> None:
        self.crew = crew
        self.servers = servers
        self.injected: list[Fault] = []
        self._log = log
        self._open: list[tuple[float, int, Fault, Undo]] = []
        self._began = time.monotonic()

    def can_strike(self, planned: Planned) -> bool:
        """Whether the target is there; one that is not yet will be."""
        if planned.kind == "damaged_neighbour":
            return not self.strikes_now("store")
        if server := _server_of(planned.kind):
            if self.strikes_now(server):
                return False
            # Whoever dies before it has written its record back has lost more than a crash may.
            return planned.kind != "store_forgets" or (self.crew.all_able and bool(self._running()))
        post = self.crew.posts[planned.worker]
        return post.able and bool(post.worker.children())

    def inject(self, planned: Planned) -> None:
        """Let it happen."""
        now = time.monotonic()
        fault = Fault(planned.number, planned.kind, self._role(planned), now, float("inf"))
        self.injected.append(fault)
        undo = getattr(self, f"_{planned.kind}")(planned, fault)
        if undo is not None:
            heapq.heappush(self._open, (now + planned.length, planned.number, fault, undo))
        elif fault.until == float("inf"):
            fault.until = time.monotonic()
        self._note(fault, "begins" if undo else "strikes")

    def undo_due(self, *, all_of_them: bool = False) -> None:
        """End those whose time is over."""
        while self._open and (all_of_them or self._open[0][0] <= time.monotonic()):
            _, _, fault, undo = heapq.heappop(self._open)
            undo()
            fault.until = time.monotonic()
            self._note(fault, "is over")

    @property
    def under_way(self) -> bool:
        """Whether one has still to end."""
        return bool(self._open)

    def strikes_now(self, server: str) -> bool:
        """Whether a fault of this server is under way."""
        return any(_server_of(fault.kind) == server for _, _, fault, _ in self._open)

    # -- processes --------------------------------------------------------------------------

    def _sigterm(self, planned: Planned, fault: Fault) -> None:
        self._target(planned, fault).signal(SIGTERM)
        fault.until = time.monotonic()
        self.crew.replace(planned.worker, leaving=True)

    def _sigterm_group(self, planned: Planned, fault: Fault) -> None:
        self._target(planned, fault).signal_group(SIGTERM)
        fault.until = time.monotonic()
        self.crew.replace(planned.worker, leaving=True)

    def _sigkill_child(self, planned: Planned, fault: Fault) -> None:
        fault.pids = (self._child(planned, fault),)
        os.kill(fault.pids[0], SIGKILL)
        fault.until = time.monotonic()

    def _sigkill_worker(self, planned: Planned, fault: Fault) -> None:
        self._target(planned, fault).kill()
        fault.until = time.monotonic()
        self.crew.replace(planned.worker)

    def _sigstop_worker(self, planned: Planned, fault: Fault) -> Undo:
        worker = self._target(planned, fault)
        return self.crew.freeze(planned.worker, [worker.pid, *fault.pids])

    def _sigstop_main(self, planned: Planned, fault: Fault) -> Undo:
        worker = self._target(planned, fault)
        fault.pids = ()
        return self.crew.freeze(planned.worker, [worker.pid])

    def _sigstop_child(self, planned: Planned, fault: Fault) -> Undo:
        fault.pids = (self._child(planned, fault),)
        return self.crew.freeze(planned.worker, list(fault.pids))

    def _target(self, planned: Planned, fault: Fault) -> Worker:
        worker = self.crew.posts[planned.worker].worker
        fault.worker, fault.pids = worker.pid, tuple(worker.children())
        return worker

    def _child(self, planned: Planned, fault: Fault) -> int:
        self._target(planned, fault)
        return fault.pids[planned.child % len(fault.pids)]

    # -- servers ----------------------------------------------------------------------------

    def _store_restart(self, planned: Planned, fault: Fault) -> Undo:
        self.servers.store.kill()
        return self.servers.store.start

    _store_outage = _store_restart

    def _store_silence(self, planned: Planned, fault: Fault) -> Undo:
        self.servers.store.freeze()
        return self.servers.store.thaw

    def _store_refuses(self, planned: Planned, fault: Fault) -> Undo:
        self.servers.refuse(True)
        return partial(self.servers.refuse, False)

    def _running(self) -> list[bytes]:
        """Runs whose owner lives: of another's record nobody may know what was in it."""
        return self.servers.running({post.worker.name for post in self.crew.posts if post.able})

    def _store_forgets(self, planned: Planned, fault: Fault) -> None:
        keys = self._running()
        if keys:
            key = keys[planned.number % len(keys)]
            fault.run = key.decode().rpartition(":")[2]
            self.servers.forget(key, WRITTEN_BACK)

    def _broker_restart(self, planned: Planned, fault: Fault) -> Undo:
        self.servers.broker.kill()
        return self.servers.broker.start

    def _drop_store(self, planned: Planned, fault: Fault) -> None:
        self.servers.drop_store()

    def _damaged_neighbour(self, planned: Planned, fault: Fault) -> None:
        kind = list(damage.KINDS)[planned.number % len(damage.KINDS)]
        with self.servers.store.client() as client:
            for number in range(NEIGHBOURS):
                name = f"neighbour-{planned.number}-{number}"
                damage.damage_neighbour(client, "chaos", name, kind)

    def _drop_broker(self, planned: Planned, fault: Fault) -> None:
        self.servers.drop_broker()

    def _drop_database(self, planned: Planned, fault: Fault) -> None:
        self.servers.drop_database()

    # -- words ------------------------------------------------------------------------------

    def _role(self, planned: Planned) -> str:
        if planned.kind == "damaged_neighbour":
            return list(damage.KINDS)[planned.number % len(damage.KINDS)]
        if server := _server_of(planned.kind):
            return server
        name = self.crew.posts[planned.worker].worker.name
        child = f", child {planned.child}" if planned.kind.endswith("child") else ""
        return f"worker {planned.worker}{child} ({name})"

    def _note(self, fault: Fault, how: str) -> None:
        line = {"seconds": round(time.monotonic() - self._began, 3), "how": how, **asdict(fault)}
        line = {key: None if value == float("inf") else value for key, value in line.items()}
        with self._log.open("a") as log:
            log.write(json.dumps(line) + "\n")


def _server_of(kind: str) -> str:
    return next((name for name in ("store", "broker", "database") if name in kind), "")
