"""Ways to interrupt a run: what happens to a worker in its life."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence

from tests.shop.project import Shop

Say = Callable[[str], None]


class Interrupter:
    """Interrupts what the shop's only worker does, and has the next worker ready.

    Args:
        shop: the project.
        say: takes a line about each step.
    """

    def __init__(self, shop: Shop, say: Say) -> None:
        self.shop = shop
        self.say = say
        self.worker = shop.start_worker().wait_ready()

    def sigterm(self) -> None:
        """A deploy: the worker is stopped while the next one starts."""
        old = self.worker
        old.signal(signal.SIGTERM)
        self._next("SIGTERM as in a deploy")
        assert old.wait() == 0, old.log()

    def sigkill(self) -> None:
        """A lost machine: the worker is killed with all of its processes."""
        self.worker.signal_group(signal.SIGKILL)
        self.worker.wait()
        self._next("SIGKILL like a lost machine")

    def oom(self) -> None:
        """Too little memory: the kernel kills the pool process that has the task."""
        for pid in self.worker.children():
            os.kill(pid, signal.SIGKILL)
        self.say(f"SIGKILL to the pool of {self.worker.name}, as if out of memory")

    def maintenance(self) -> None:
        """A migration: the shop goes down and up again; the worker stays."""
        self.shop.graceful.maintenance.down(wait=True, timeout="60s", reason="migration")
        self.say("down --wait: nothing runs; now one could migrate")
        self.shop.graceful.maintenance.up()
        self.say("up: the import continues")

    def _next(self, what: str) -> None:
        old, self.worker = self.worker, self.shop.start_worker()
        self.say(f"{what} to {old.name}; {self.worker.name} starts")


def ten(interrupter: Interrupter) -> Sequence[Callable[[], None]]:
    """Ten interruptions, of each kind some.

    Those by maintenance come before a worker is killed: for half a minute nobody can tell whether
    that one still works, so ``down --wait`` waits for it.
    """
    each = interrupter
    return (
        *(each.sigterm, each.maintenance, each.oom, each.maintenance, each.sigterm),
        *(each.maintenance, each.sigkill, each.oom, each.sigkill, each.oom),
    )
