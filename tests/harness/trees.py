"""Workers in process trees that a manager stops: it asks, waits for a grace period, and kills."""

from __future__ import annotations

import os
import threading
import time
from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from signal import SIGKILL, SIGTERM
from typing import Any, NamedTuple

from tests.harness.waiting import INTERVAL
from tests.harness.worker import Worker

#: How long the kernel may take to end what was killed, in seconds.
DEAD = 5.0


class Stopped(NamedTuple):
    """How a tree ended; times are monotonic seconds.

    ``ended`` is when the last process had ended by itself, ``killed`` when SIGKILL was sent to what
    was left: one of them is ``None``.
    """

    asked: float
    ended: float | None
    killed: float | None


class Tree(Worker):
    """A worker as some manager starts it, and stops it.

    Args:
        app: as for ``Worker``; the other options as well.
        grace: seconds from the manager's request to its SIGKILL.
    """

    def __init__(self, app: str, *, grace: float, **options: Any) -> None:
        super().__init__(app, **options)
        self.grace = grace

    def stop(self, ask: Callable[[], None] | None = None) -> Stopping:
        """Ask the tree to end, as its manager does, and have a thread kill it in time.

        Args:
            ask: another way to ask; ``None``: the manager's.

        Returns:
            What is under way; the call does not wait for it.
        """
        self._family.look()
        return Stopping(self, ask or self.ask)

    @property
    @abstractmethod
    def first(self) -> int:
        """The worker's main process."""

    @abstractmethod
    def ask(self) -> None:
        """Send what the manager sends first."""

    @abstractmethod
    def has_ended(self) -> bool:
        """Whether the manager sees nothing left to wait for."""

    @abstractmethod
    def kill_all(self) -> None:
        """Kill what is left, as the manager does at the end of the grace period."""

    def was_killed(self) -> bool:
        """Whether the manager has sent SIGKILL on its own account."""
        return False

    def signal(self, number: int = SIGTERM) -> None:
        """Send a signal to the worker's main process only."""
        self._family.look()
        os.kill(self.first, number)


class Stopping:
    """A tree that was asked to end."""

    def __init__(self, tree: Tree, ask: Callable[[], None]) -> None:
        self._tree = tree
        self._stopped: Stopped | None = None
        ask()
        # After that: on a busy machine the request itself takes its time, of supervisord most.
        self.asked = time.monotonic()
        #: When SIGKILL is due.
        self.kill_at = self.asked + tree.grace
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def wait(self) -> Stopped:
        """Wait until no process of the tree is left."""
        self._thread.join(self._tree.grace + 2 * DEAD)
        assert self._stopped is not None, f"{self._tree.name} outlived SIGKILL"
        return self._stopped

    def left(self) -> float:
        """Seconds until SIGKILL."""
        return self.kill_at - time.monotonic()

    def _watch(self) -> None:
        while not self._tree.has_ended() and self.left() > 0:
            time.sleep(INTERVAL)
        moment = time.monotonic()
        forced = not self._tree.has_ended()
        self._tree.kill_all()
        deadline = time.monotonic() + DEAD
        while not self._tree.has_ended() and time.monotonic() < deadline:
            time.sleep(INTERVAL)
        if not self._tree.has_ended():
            return
        if forced or self._tree.was_killed():
            self._stopped = Stopped(self.asked, None, moment)
        else:
            self._stopped = Stopped(self.asked, moment, None)


class Pod(Tree):
    """As Kubernetes does it: SIGTERM to the first process only, and its end is the end of all."""

    @property
    def first(self) -> int:
        return self.pid

    def ask(self) -> None:
        self.signal(SIGTERM)

    def has_ended(self) -> bool:
        return self.exit_code is not None

    def kill_all(self) -> None:
        self._family.kill()


class Group(Tree):
    """As systemd does it by default: SIGTERM to all at once, and it waits for the last of them."""

    @property
    def first(self) -> int:
        return self.pid

    def ask(self) -> None:
        self.signal_group(SIGTERM)

    def has_ended(self) -> bool:
        return self.exit_code is not None and not self._family.left()

    def kill_all(self) -> None:
        with suppress(ProcessLookupError):  # all have ended
            os.killpg(self.pid, SIGKILL)
        self._family.kill()
