"""The crew: workers that are replaced when they leave, as a deploy or a supervisor does it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from signal import SIGCONT, SIGSTOP

from tests.chaos.plan import CHILDREN, WORKERS
from tests.harness import Worker, WorkerError
from tests.harness.worker import READY

#: Seconds that a worker may take to become ready, and to leave after SIGTERM.
READY_LATEST, STOP_LATEST = 60.0, 60.0


@dataclass
class Duty:
    """The time in which a worker could take messages."""

    worker: int
    since: float
    until: float = float("inf")


@dataclass
class Post:
    """A place in the crew and the worker that holds it."""

    worker: Worker
    started_at: float
    duty: Duty | None = None
    frozen: frozenset[int] = frozenset()

    @property
    def able(self) -> bool:
        """Whether its worker is there, with its children, and can be struck."""
        return self.duty is not None and not self.frozen


class Crew:
    """``WORKERS`` workers that are kept alive.

    Args:
        start: starts a worker of the given name.
    """

    def __init__(self, start: Callable[[str], Worker]) -> None:
        self._start = start
        self._count = 0
        self._leaving: list[tuple[Worker, float]] = []
        self.duties: list[Duty] = []
        self.stops: list[float] = []
        self.troubles: list[str] = []
        self.posts = [self._filled(place) for place in range(WORKERS)]

    def look(self) -> None:
        """Note who is ready and who has left; replace who has ended unasked."""
        for place, post in enumerate(self.posts):
            if post.worker.exit_code is not None:
                self.troubles.append(f"{post.worker.name} ended with {post.worker.exit_code}")
                self.replace(place)
            elif post.duty is None:
                self._look_at_newcomer(place, post)
        for worker, told_at in list(self._leaving):
            if worker.exit_code is not None:
                self.stops.append(time.monotonic() - told_at)
                if worker.exit_code != 0:
                    self.troubles.append(f"{worker.name} left with {worker.exit_code}")
            elif time.monotonic() > told_at + STOP_LATEST:
                self.troubles.append(f"{worker.name} has not left within {STOP_LATEST:g} s")
                worker.reap()
            else:
                continue
            self._leaving.remove((worker, told_at))

    @property
    def all_able(self) -> bool:
        return all(post.able for post in self.posts)

    @property
    def any_leaving(self) -> bool:
        return bool(self._leaving)

    def replace(self, place: int, *, leaving: bool = False) -> None:
        """Give a place to a new worker; the old one is dead, or ``leaving``."""
        old = self.posts[place]
        now = time.monotonic()
        if old.duty is not None:
            old.duty.until = min(old.duty.until, now)
        if leaving:
            self._leaving.append((old.worker, now))
        else:
            old.worker.reap()
        self.posts[place] = self._filled(place)

    def freeze(self, place: int, pids: list[int]) -> Callable[[], None]:
        """SIGSTOP processes of a place's worker; returns what wakes them."""
        post = self.posts[place]
        post.frozen = frozenset(pids)
        if post.duty is not None and post.worker.pid in pids:
            post.duty.until = time.monotonic()
        for pid in pids:
            os.kill(pid, SIGSTOP)

        def wake() -> None:
            for pid in pids:
                os.kill(pid, SIGCONT)
            post.frozen = frozenset()
            if post.duty is not None and post.worker.pid in pids:
                post.duty = Duty(post.worker.pid, time.monotonic())
                self.duties.append(post.duty)

        return wake

    def close(self) -> None:
        """Kill everybody."""
        for worker, _ in self._leaving:
            worker.reap()
        for post in self.posts:
            post.worker.reap()

    def _look_at_newcomer(self, place: int, post: Post) -> None:
        if READY.search(post.worker.log()) and len(post.worker.children()) >= CHILDREN:
            post.duty = Duty(post.worker.pid, time.monotonic())
            self.duties.append(post.duty)
        elif time.monotonic() > post.started_at + READY_LATEST:
            raise WorkerError(f"{post.worker.name} is not ready\n{post.worker.log()[-3000:]}")

    def _filled(self, place: int) -> Post:
        self._count += 1
        return Post(self._start(f"w{place}-{self._count}"), time.monotonic())
