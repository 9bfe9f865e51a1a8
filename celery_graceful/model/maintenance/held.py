"""What one worker may not start while the maintenance mode is in force."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase

from celery_graceful.model.maintenance.mode import Kind, Mode

#: How the names of Celery's own tasks begin.
OF_CELERY = "celery."


@dataclass(frozen=True, slots=True)
class Held:
    """What is held from the point of view of one worker: exempt queues go on."""

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
        exempt: queues that go on.
        interrupting: only what tasks under way have to leave for.
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
