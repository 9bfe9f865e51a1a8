"""Records and waiting, for the tests of stores."""

from __future__ import annotations

import time
from collections.abc import Callable

from celery_graceful.model.run.record import Outcome, Record, Request, RunKey, State
from celery_graceful.stores.base import Store

#: Seconds a test waits for what a store does when some time has passed.
PATIENCE = 30.0

RUN = RunKey("proj.tasks.reindex", "5f0c")
OWNER = "celery@one:17"

RUNNING = Record(State.RUNNING, fence=1, owner=OWNER, envelope=b"\x00raw", started_at=12.5)
FULL = Record(
    State.FINISHING,
    generation=3,
    fence=7,
    owner=OWNER,
    checkpoint='{"cursor": "é\\u0000"}',
    steps=2**40,
    execution_steps=11,
    resumptions=2,
    crashes=1,
    crash_steps=9,
    last_crash="signal 9",
    stalls=1,
    republished=4,
    unroutable="no queue \x00",
    requested=Request.PAUSE,
    reason="a person\x00 said 'so' ☂ \ud800",
    outcome=Outcome.COMPLETED,
    result='"\x00 done"',
    envelope=bytes(range(256)),
    started_at=1712345678.123456,
    began=1712345699.5,
    process=4711,
    trace="4bf92f3577b34da6a3ce929d0e0e4736",
    worker="celery@one\x00",
    history='[[1.0,2.0,3,"a \x00 reason ☂","w",4,""]]',
    actions="hostile \x00\x1b[31m \ud800",
    error="['Error', '☂', '']",
)


def put(
    store: Store, record: Record = RUNNING, run: RunKey = RUN, due_in: float | None = 60
) -> Record:
    """Write a first record and return it as the store has it."""
    assert store.swap(run, 0, record, due_in=due_in).done
    return read(store, run)


def read(store: Store, run: RunKey = RUN) -> Record:
    """The record of ``run``, which has to exist."""
    record = store.load(run).record
    assert record is not None
    return record


def until_due(store: Store, run: RunKey = RUN) -> Record:
    """Wait until ``run`` is due and return its record."""
    until(lambda: run in dict(store.due(100)), f"{run} to be due")
    return dict(store.due(100))[run]


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait at most :data:`PATIENCE` seconds for ``condition``."""
    deadline = time.monotonic() + PATIENCE
    while True:
        late = time.monotonic() >= deadline  # before the look: it may take long itself
        if condition():
            return
        assert not late, f"waited {PATIENCE:.0f} s in vain for {what}"
        time.sleep(0.02)


def listed(store: Store, limit: int = 99) -> list[tuple[RunKey, Record]]:
    """Up to ``limit`` runs: live ones, then ended ones."""
    live = store.live(limit)
    return [(key, record) for key, record, _ in (*live, *store.ended(limit - len(live)))]
