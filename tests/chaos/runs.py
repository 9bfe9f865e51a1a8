"""The runs of a chaos run: sent steadily, so that slots are busy and the queue is short."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

_ITEMS, _PAUSE = (200, 2000), (0.001, 0.005)
#: Some runs are over within a checkpoint interval, which takes another way through the package.
_FEW, _SHORT = (3, 60), 0.15
#: The share of runs with an item that raises what is no ``Exception``.
_EXITS = 0.05
FINAL = ("SUCCESS", "FAILURE", "REVOKED")


@dataclass
class Sent:
    """A run that was sent; ``state`` and ``result`` as the result backend tells them."""

    id: str
    style: str
    items: int
    state: str = "PENDING"
    result: Any = None
    #: Whether the broker may not have got it: nothing was promised then.
    uncertain: bool = False
    #: The item that raises what is no ``Exception``, if one does: the run is to fail there.
    exits: int | None = None

    @property
    def ended(self) -> bool:
        return self.state in FINAL

    @property
    def atomic(self) -> bool:
        return "atomic" in self.style


class Feeder:
    """Keeps so many runs under way.

    Args:
        app: sends.
        styles: names of tasks.
        seed: what makes sizes and order the same again.
        live: how many runs are kept under way.
    """

    def __init__(self, app: Celery, styles: Sequence[str], seed: int, live: int) -> None:
        self.app = app
        self.sent: list[Sent] = []
        self._styles = styles
        self._live = live
        self._chance = random.Random(f"runs {seed}")

    @property
    def open(self) -> list[Sent]:
        """Those that have not ended."""
        return [run for run in self.sent if not run.ended and not run.uncertain]

    def look(self) -> None:
        """Ask the result backend how far they are."""
        for run in self.sent:
            if not run.ended:
                meta = self.app.backend.get_task_meta(run.id, cache=False)
                run.state = str(meta["status"])
                if run.ended:
                    result = meta["result"]
                    run.result = result if isinstance(result, dict) else repr(result)

    def top_up(self) -> None:
        """Send until enough are under way."""
        while len(self.open) < self._live:
            self._send()

    def _send(self) -> None:
        style = self._chance.choice(list(self._styles))
        items = self._chance.randint(*(_FEW if self._chance.random() < _SHORT else _ITEMS))
        pause = round(self._chance.uniform(*_PAUSE), 4)
        exits = self._chance.randrange(items) if self._chance.random() < _EXITS else None
        run_id = str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
        run = Sent(run_id, style, items, exits=exits)
        self.sent.append(run)
        # A connection for each: one that was cut would be told of by the send after that.
        with self.app.connection_for_write() as connection:
            errors: tuple[type[BaseException], ...] = (
                OperationalError,
                *connection.connection_errors,
                *connection.channel_errors,
            )
            try:
                self.app.send_task(
                    *(style, (items, pause, exits)),
                    task_id=run.id,
                    retry=False,
                    connection=connection,
                )
            except errors:
                # Not sent again under its id: should both have come, the task would run twice.
                run.uncertain = True
