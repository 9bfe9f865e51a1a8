"""A scene whose worker is cut off at the end of a short grace period."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.acceptance.scene import Scene
from tests.harness import Ledger, Worker, wait_for

#: The cut comes after four seconds, which a busy machine may need to tell what has not begun.
GRACE, MARGIN = 14.0, 10.0
SETTINGS = {
    "graceful_grace_period": GRACE,
    "graceful_kill_margin": MARGIN,
    "worker_send_task_events": True,
    "task_send_sent_event": True,
}


class Cut:
    """A scene with a worker that is stopped, and a second one that takes over."""

    def __init__(self, scene: Scene, app: Any) -> None:
        self.scene, self.app, self.ledger = scene, app, scene.ledger

    def send(self, task: str, tag: str, **options: Any) -> Any:
        return self.app.send_task(f"cut.{task}", (tag,), **options)

    def noted(self, entry: str, times: int = 1, timeout: float = 20) -> None:
        wait_for(
            lambda: self.ledger.items().count(entry) >= times,
            timeout,
            lambda: f"{entry!r} {times} times in {self.ledger.items()}",
        )

    def enough(self, *tags: str) -> None:
        for tag in tags:
            self.ledger.add(f"{tag} enough")


@contextmanager
def cutting(
    broker: str, backend: str, ledger: Ledger, start_worker: Callable[..., Worker]
) -> Iterator[Cut]:
    """The scene, with an application that sends its tasks."""
    scene = Scene("cut", broker, backend, ledger, start_worker)
    scene.settings = dict(SETTINGS)
    with scene.producer() as app:
        yield Cut(scene, app)
