"""What a worker asks the other workers over the broker while it cannot use the store."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from kombu.exceptions import OperationalError

from celery_graceful._celery.message.mailbox import ask, tell
from celery_graceful._celery.threads.native import native_lock, native_sleep, start_native_thread
from celery_graceful.errors import CorruptRecord
from celery_graceful.maintenance.broker_replies import (
    BROKER_TIMEOUT,
    LONG_QUIET,
    QUIET,
    queue_names,
)
from celery_graceful.model.maintenance.mode import Mode
from celery_graceful.model.maintenance.mode_text import received_mode

logger = logging.getLogger("celery_graceful.maintenance")
runs_logger = logging.getLogger("celery_graceful.runs")

#: The control command that has workers send back parked runs.
SEND_BACK = "graceful_send_back"
#: Seconds from parking a run to asking for help; doubled while no worker can run it.
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0


@dataclass(frozen=True, slots=True)
class Peer:
    """Another worker of this app, as it describes itself."""

    hostname: str
    #: The maintenance mode that it knows, if any.
    mode: Mode | None
    #: Whether runs can start on it.
    starts_runs: bool


class Peers:
    """The other workers of an app.

    Args:
        app: the Celery app.
        namespace: its namespace.
        own: the node name of the worker that asks.
    """

    def __init__(self, app: Any, namespace: str, own: str) -> None:
        self._app = app
        self._namespace = namespace
        self._own = own

    def ask(self, quiet: float = LONG_QUIET) -> list[Peer]:
        """Those that answer; ``quiet`` seconds without an answer end the wait.

        Only workers that consume queues of the app are asked: others would log an unknown command.

        Raises:
            kombu.exceptions.OperationalError: the broker does not answer.
        """
        put = partial(ask, self._app, timeout=BROKER_TIMEOUT, quiet=quiet)
        ours = set(self._app.amqp.queues)
        consuming = [(host, set(queue_names(queues))) for host, queues in put("active_queues")]
        # A worker in maintenance consumes nothing, and knows the mode.
        hosts = {host for host, names in consuming if not names or names & ours} - {self._own}
        answers = put("graceful", destination=sorted(hosts)) if hosts else []
        return [
            Peer(host, _mode(answer.get("mode")), answer.get("starts_runs") is True)
            for host, answer in answers
            if isinstance(answer, dict) and answer.get("namespace") == self._namespace
        ]

    def send_back(self, peers: list[Peer]) -> list[str]:
        """Have those on which runs can start send back what is parked; returns their names.

        Raises:
            kombu.exceptions.OperationalError: the broker does not answer.
        """
        hosts = [peer.hostname for peer in peers if peer.starts_runs]
        if hosts:
            arguments = {"namespace": self._namespace}
            tell(self._app, SEND_BACK, arguments, timeout=BROKER_TIMEOUT, destination=hosts)
        return hosts


def newest_mode(peers: list[Peer]) -> tuple[Mode, str] | None:
    """The newest mode that one of them knows, and the name of that worker."""
    known = [(peer.mode, peer.hostname) for peer in peers if peer.mode is not None]
    return max(known, key=lambda each: each[0].version, default=None)


class ModeFromPeers:
    """Learns the maintenance mode from other workers.

    Args:
        peers: the other workers.
        learn: takes a mode; one that is older than what is known changes nothing.
        every: seconds between two questions, plus one for each worker that answers: all may ask.
    """

    def __init__(self, peers: Peers, learn: Callable[[Mode], None], every: float) -> None:
        self._peers = peers
        self._learn = learn
        self._busy = native_lock()
        self._every = every
        self._next = time.monotonic() + every

    def at_start(self) -> None:
        """Before anything is consumed; waits for the answers."""
        try:
            found = self._ask(LONG_QUIET)
        except OperationalError as exc:
            found, why = None, f"no other worker could be asked ({exc})"
        else:
            why = "no other worker knows it"
        if found is not None:
            mode, who = found
            logger.warning("The maintenance mode is known from %s (version %d)", who, mode.version)
            return
        logger.warning(
            "The maintenance mode is not known: the store cannot be used, and %s. This worker runs"
            ' as if nothing were held; with graceful_without_store = "pause" it would wait for the'
            " store",
            why,
        )

    def now_and_then(self, now: float) -> None:
        """Ask again if it is time; called every few seconds, with monotonic seconds."""
        if now >= self._next and self._busy.acquire(False):
            start_native_thread(self._ask_again)

    def _ask_again(self) -> None:
        try:
            self._ask(QUIET)
        except Exception as exc:
            logger.debug("No other worker could be asked for the maintenance mode: %s", exc)
        finally:
            self._busy.release()

    def _ask(self, quiet: float) -> tuple[Mode, str] | None:
        peers = self._peers.ask(quiet)
        self._next = time.monotonic() + self._every + len(peers)
        found = newest_mode(peers)
        if found is not None:
            self._learn(found[0])
        return found


class HelpFromPeers:
    """Asks workers on which runs can start to run what this one has parked.

    Args:
        peers: the other workers.
        needed: whether this worker cannot send back by itself what it has parked.
    """

    def __init__(self, peers: Peers, needed: Callable[[], bool]) -> None:
        self._peers = peers
        self._needed = needed
        self._asked = True
        self._busy = native_lock()

    def soon(self) -> None:
        """Messages were parked: ask in a thread that lives while help is needed. Any thread."""
        self._asked = False
        if self._busy.acquire(False):
            start_native_thread(self._run)

    def _run(self) -> None:
        pause = FIRST_PAUSE
        try:
            while not self._asked and self._needed():
                native_sleep(pause)
                self._asked = True
                if not self._ask():
                    self._asked, pause = False, min(2 * pause, LONGEST_PAUSE)
        finally:
            self._busy.release()

    def _ask(self) -> bool:
        """Whether a worker will send them back."""
        try:
            hosts = self._peers.send_back(self._peers.ask(QUIET))
        except Exception as exc:
            runs_logger.debug("No other worker could be asked to run parked tasks: %s", exc)
            return False
        if hosts:
            runs_logger.info("Asked to run what is parked here: %s", ", ".join(hosts))
        return bool(hosts)


def _mode(answer: Any) -> Mode | None:
    """Anybody can answer, with anything."""
    try:
        return received_mode(answer["version"], answer["text"], least=0)
    except (CorruptRecord, ValueError, TypeError, LookupError):
        return None
