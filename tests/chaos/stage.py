"""The stage: servers, crew, runs and faults, driven from one thread."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.acceptance.brokers import restoring
from tests.chaos.crew import Crew
from tests.chaos.evidence import Evidence
from tests.chaos.faults import Faults
from tests.chaos.journal import Journal
from tests.chaos.ledger import Ledger
from tests.chaos.plan import CHILDREN, WORKERS, Planned
from tests.chaos.runs import Feeder
from tests.chaos.servers import Servers
from tests.harness import Worker, producer
from tests.servers import RabbitMQ

APP = "tests.chaos.app"
STYLES = ("chaos.generator", "chaos.class", "chaos.atomic")
#: Seconds.
LEASE, FLUSH = 3.0, 0.5
#: What is done before the first fault, and at most after the last, in seconds.
SETTLE, END_LATEST = 3.0, 120.0
_TICK = 0.02
#: Runs that are kept under way beyond what the workers have children for.
QUEUED = 2
#: Redis alone: what was taken and not acknowledged comes back after so many seconds.
VISIBILITY = 15


@dataclass
class Stage:
    """Everything of one chaos run that is alive."""

    servers: Servers
    crew: Crew
    feeder: Feeder
    faults: Faults
    journal: Journal
    ledger: Ledger

    def play(self, planned: Sequence[Planned]) -> None:
        """Inject all faults while runs are fed, and wait until all runs have ended."""
        self._until(lambda: self.crew.all_able, "the crew is not ready", 60)
        self._for(SETTLE)
        for fault in planned:
            self._for(fault.gap)
            self._until(partial(self.faults.can_strike, fault), f"no target for {fault}", 60)
            self.faults.inject(fault)
        self._until(lambda: not self.faults.under_way, "a fault does not end", 60)
        with self._given_back():
            self._until(lambda: not self.feeder.open, "", END_LATEST, feed=False)
        self._until(lambda: not self.crew.any_leaving, "", END_LATEST, feed=False)

    def _given_back(self) -> AbstractContextManager[None]:
        """Have Redis give back soon what dead workers took: kombu looks every 100 s only."""
        if isinstance(self.servers.broker, RabbitMQ):
            return nullcontext()
        return restoring(self.servers.broker.url, visibility_timeout=VISIBILITY)

    def evidence(self) -> Evidence:
        """All that was written down until now."""
        return Evidence(
            self.feeder.sent,
            self.ledger.read(),
            self.journal.read(),
            self.faults.injected,
            self.crew.duties,
            self.crew.stops,
            self.crew.troubles,
            "rabbitmq" if isinstance(self.servers.broker, RabbitMQ) else "redis",
        )

    def _for(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._turn()

    def _until(
        self, condition: Callable[[], bool], complaint: str, latest: float, *, feed: bool = True
    ) -> None:
        until = time.monotonic() + latest
        while not condition():
            self._turn(feed=feed)
            if time.monotonic() > until:
                if complaint:
                    raise AssertionError(f"{complaint} after {latest:g} s")
                return

    def _turn(self, *, feed: bool = True) -> None:
        self.faults.undo_due()
        self.crew.look()
        self.feeder.look()
        if feed and not self.faults.strikes_now("broker"):
            self.feeder.top_up()
        time.sleep(_TICK)


@contextmanager
def open_stage(
    servers: Servers, seed: int, folder: Path, atomic: str = "sqlalchemy"
) -> Iterator[Stage]:
    """Start the workers, and all that watches them.

    Args:
        servers: that were started.
        seed: of the runs' sizes.
        folder: for logs and the journal.
        atomic: what atomic runs write their rows with: ``sqlalchemy`` or ``django``.
    """
    with ExitStack() as stack:
        ledger = Ledger(servers.database_url)
        ledger.make()
        stack.callback(ledger.close)
        journal = Journal(folder / "journal.jsonl")
        start = _starter(servers, folder, journal, atomic)
        app = stack.enter_context(
            producer(servers.broker.url, servers.results.url, **_transport(servers))
        )
        app.conf.broker_connection_timeout = 2
        crew = Crew(start)
        stack.callback(crew.close)
        feeder = Feeder(app, STYLES, seed, live=WORKERS * CHILDREN + QUEUED)
        faults = Faults(crew, servers, folder / "faults.jsonl")
        stack.callback(faults.undo_due, all_of_them=True)
        yield Stage(servers, crew, feeder, faults, journal, ledger)


def _starter(
    servers: Servers, folder: Path, journal: Journal, atomic: str
) -> Callable[[str], Worker]:
    settings = {
        "graceful_store": servers.store.url,
        "graceful_lease_ttl": LEASE,
        "graceful_checkpoint_interval": FLUSH,
        **_transport(servers),
    }
    env: dict[str, str | None] = {
        "BROKER_URL": servers.broker.url,
        "RESULT_URL": servers.results.url,
        "SETTINGS": json.dumps(settings),
        "CHAOS_ATOMIC": atomic,
        "CHAOS_DATABASE": servers.database_url,
        "CHAOS_JOURNAL": str(journal.path),
    }

    def start(name: str) -> Worker:
        return Worker(
            APP,
            args=["-c", str(CHILDREN), "--without-mingle", "--without-gossip"],
            env=env,
            name=name,
            logfile=folder / f"{name}.log",
        ).start()

    return start


def _transport(servers: Servers) -> dict[str, dict[str, object]]:
    rabbitmq = isinstance(servers.broker, RabbitMQ)
    options: dict[str, object] = (
        {"confirm_publish": True} if rabbitmq else {"visibility_timeout": VISIBILITY}
    )
    return {"broker_transport_options": options}
