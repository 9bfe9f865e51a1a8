"""What one worker may start while the maintenance mode is in force."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from celery_graceful.model.maintenance.mode import Kind, Mode, Ramp

#: How the names of Celery's own tasks begin.
OF_CELERY = "celery."


@dataclass(frozen=True, slots=True)
class Held:
    """What is held from the point of view of one worker: exempt queues are never held."""

    everything: bool = False
    queues: frozenset[str] = frozenset()
    #: Names and patterns.
    tasks: tuple[str, ...] = ()
    exempt: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return self.everything or bool(self.queues or self.tasks)

    def queue(self, name: str) -> bool:
        """Whether nothing of this queue may start."""
        return name not in self.exempt and (self.everything or name in self.queues)

    def task(self, name: str) -> bool:
        """Whether the task is held by its name, whatever its queue.

        No pattern means Celery's own tasks, such as ``celery.chord_unlock``; their full names do.
        """
        if name.startswith(OF_CELERY):
            return name in self.tasks
        return any(name == pattern or fnmatchcase(name, pattern) for pattern in self.tasks)

    def under_all_names(self, renamed: Mapping[str, Collection[str]]) -> Held:
        """The same, where a task that is held by one of its names is held by all of them.

        Args:
            renamed: the former names of tasks, by the names that they have now.
        """
        more = [
            name
            for now, former in renamed.items()
            if any(map(self.task, (now, *former)))
            for name in (now, *former)
            if name not in self.tasks
        ]
        return replace(self, tasks=(*self.tasks, *more)) if self.tasks and more else self

    def covers(self, task: str, queue: str) -> bool:
        """Whether a message of ``task`` from ``queue`` may not start."""
        return queue not in self.exempt and (self.queue(queue) or self.task(task))

    def encode(self) -> bytes:
        """As bytes, for memory that is shared with pool children."""
        parts = [self.everything, sorted(self.queues), self.tasks, sorted(self.exempt)]
        return json.dumps(parts).encode()

    @classmethod
    def decode(cls, data: bytes) -> Held:
        """The inverse of :meth:`encode`."""
        everything, queues, tasks, exempt = json.loads(data)
        return cls(everything, frozenset(queues), tuple(tasks), frozenset(exempt))


NOTHING = Held()


def held_by(mode: Mode, exempt: Collection[str] = (), *, interrupting: bool = False) -> Held:
    """What ``mode`` holds for a worker.

    Args:
        mode: without what has ended by itself.
        exempt: queues that are never held.
        interrupting: only what running iterable tasks have to stop for.
    """
    holds = [h for h in mode.holds if h.interrupt or not interrupting]
    named = {kind: [h.scope.name for h in holds if h.scope.kind is kind] for kind in Kind}
    if not holds:
        return NOTHING
    return Held(
        everything=bool(named[Kind.ALL]),
        queues=frozenset(named[Kind.QUEUE]),
        tasks=tuple(named[Kind.TASK]),
        exempt=frozenset(exempt),
    )


def slots_allowed(ramp: Ramp | None, now: float, slots: int, rank: int, workers: int) -> int | None:
    """How many tasks a worker may run at once; ``None``: as many as it can.

    The slots of all workers together open evenly, one after the other over the time of the ramp,
    beginning with one. Workers with different numbers of slots each open theirs evenly.

    Args:
        ramp: the ramp, if there is one.
        now: the store's time.
        slots: how many tasks this worker can run at once.
        rank: this worker's place among all, from 0.
        workers: how many workers there are.
    """
    if ramp is None or now >= ramp.until:
        return None
    workers, rank = max(workers, 1), min(max(rank, 0), max(workers, 1) - 1)
    share = max((now - ramp.since) / ramp.seconds, 1 / (slots * workers))
    # 1e-9: a share that is a whole number of slots but for the last bit.
    return min(slots, int(share * slots + rank / workers + 1e-9))
