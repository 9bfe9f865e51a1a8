"""Celery's own scheduler with beat's gate, a board whose line breaks, and a clock set by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from celery import Celery
from celery.beat import Scheduler

from celery_graceful._celery.beat import InterceptedScheduler
from celery_graceful.maintenance.beat.mode_cache import BeatBoard
from celery_graceful.maintenance.beat.owed import NOTICE, decode_owed
from celery_graceful.maintenance.beat.schedule import NAP, BeatGate
from celery_graceful.model.maintenance.mode import (
    EVERYTHING,
    Mode,
    Scope,
    hold_scopes,
    release_scopes,
)
from celery_graceful.model.maintenance.mode_text import decode_mode, encode_mode
from celery_graceful.stores.base import NOTICES
from tests.unit.maintenance.test_beat_owed import Time, Weather

POLICIES = {"once": "once", "all*": "all", "run": "run", "all-but-this": "skip"}
HOUR = 3600.0


class Counting(Scheduler):
    """Counts what is sent instead of sending it, and can fail to."""

    refuse = False
    max_interval = 300

    def setup_schedule(self) -> None:
        self.sent: Counter[str] = Counter()
        super().setup_schedule()

    def send_task(self, *args: Any, **kwargs: Any) -> None:
        if self.refuse:
            raise ConnectionError("the broker is away")
        self.sent[args[1][0]] += 1


class Scene:
    """A scheduler with a gate, a board, and a clock."""

    def __init__(self, app: Celery) -> None:
        self.app = app
        self.clock = Time()
        self.store = Weather(self.clock)
        self.scheduler: Any
        self.start()

    def start(self) -> None:
        """A beat that begins; an earlier one is thought of as killed."""
        self.scheduler = Counting(self.app)
        BeatGate(
            InterceptedScheduler(self.scheduler),
            BeatBoard(self.store, self.clock),
            exempt=frozenset({"alerts"}),
            policies=POLICIES,
            clock=self.clock,
        ).install()

    def due(self, *names: str) -> None:
        """The entries become due, and beat has its turn with them."""
        for name in names:
            self.scheduler.apply_entry(self.scheduler.schedule[name])

    def tick(self, times: int = 1) -> Any:
        wanted = None
        for _ in range(times):
            wanted = self.scheduler.tick()
        return wanted

    def down(self, *scopes: Scope, until: float | None = None) -> None:
        self._change(
            lambda m, now: hold_scopes(m, scopes or [EVERYTHING], now=now, who="me", until=until)
        )

    def up(self, *scopes: Scope) -> None:
        self._change(lambda mode, now: release_scopes(mode, scopes, now=now, who="me"))

    def _change(self, change: Callable[[Mode, float], Mode]) -> None:
        notice = self.store.read_text(NOTICES, "maintenance")
        mode = change(decode_mode(notice.text, notice.version), notice.now)
        assert self.store.write_text(
            NOTICES, "maintenance", encode_mode(mode), expected=notice.version
        )
        self.clock.now += NAP

    @property
    def sent(self) -> dict[str, int]:
        return dict(self.scheduler.sent)

    @property
    def owed(self) -> dict[str, int]:
        return decode_owed(self.store.read_text(NOTICES, NOTICE).text)[0]
