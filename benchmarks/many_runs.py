"""Runs as a shop has them after a busy week: live ones of many kinds, and those that have ended."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from random import Random
from typing import Any, TypeVar

from celery_graceful._celery.message.envelope import Envelope, pack
from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.model.run.record import Outcome, Record, RunKey, State
from celery_graceful.model.run_options import RunOptions
from celery_graceful.stores.base import Store

LIVE, ENDED = 10_000, 100_000
#: A task of which there is one run in ten thousand; a tag of one run, and one of many.
RARE_TASK, TAG, MANY_TAGGED = "shop.close_the_year", "upload:42", "nightly"
TASKS = ("shop.reindex", "shop.export", "shop.import_orders", "shop.recount", "shop.mail")
QUEUES = ("celery", "exports", "imports", "bulk")
WORKERS = 40
#: Seconds for which an ended run is kept.
KEEP = 7 * 86400.0
_THREADS = 4

T = TypeVar("T")
#: How many of the live runs are in each state.
_LIVE = (
    (State.RUNNING, 0.80),
    (State.INTERRUPTED, 0.12),
    (State.PAUSED, 0.05),
    (State.FINISHING, 0.028),
    (State.RETRYING, 0.002),
)
_OUTCOMES = ((Outcome.COMPLETED, 0.97), (Outcome.FAILED, 0.029), (Outcome.CANCELLED, 0.001))


def fill(store: Store, live: int, ended: int) -> None:
    """Write so many runs, the same ones each time except for their ids."""
    now = store.load(RunKey("", "")).now
    numbers = chain((("live", n) for n in range(live)), (("ended", n) for n in range(ended)))

    def write(which: tuple[str, int]) -> None:
        kind, number = which
        chance = Random(f"{kind} {number}")
        if kind == "live":
            record = _live(number, chance, now)
            store.swap(_key(number, chance), 0, record, due_in=3600.0)
        else:
            record = _ended(number, chance, now)
            keep = KEEP * (1 - number / ended) + 60.0
            store.swap(_key(number, chance), 0, record, keep=keep)

    with ThreadPoolExecutor(_THREADS) as threads:
        for _ in threads.map(write, numbers, chunksize=500):
            pass


def _key(number: int, chance: Random) -> RunKey:
    task = RARE_TASK if number % 10_000 == 5000 else chance.choice(TASKS)
    return RunKey(task, str(uuid.UUID(int=chance.getrandbits(128), version=4)))


def _live(number: int, chance: Random, now: float) -> Record:
    state = _chosen(_LIVE, chance)
    owned = state in (State.RUNNING, State.FINISHING)
    run = replace(
        _record(number, chance),
        state=state,
        owner=f"celery@w{chance.randrange(WORKERS)}/4f5a6b7c" if owned else None,
        started_at=now - chance.random() * 86400,
    )
    return replace(run, result='"done"') if state is State.FINISHING else run


def _ended(number: int, chance: Random, now: float) -> Record:
    outcome = _chosen(_OUTCOMES, chance)
    run = replace(
        _record(number, chance),
        state=State.ENDED,
        outcome=outcome,
        started_at=now - number * KEEP / ENDED - chance.random() * 900,
        seconds=chance.random() * 900,
        kept_for=KEEP,
    )
    return replace(run, envelope=b"") if outcome is Outcome.COMPLETED else run


def _record(number: int, chance: Random) -> Record:
    """What runs have in common; one in ten was interrupted twenty times."""
    steps = chance.randrange(100_000)
    cursor = [f"2026-11-{1 + number % 30:02}T08:00:00+00:00", steps]
    tags = [MANY_TAGGED] if number % 4 == 0 else []
    tags += [TAG] if number == 4321 else []
    return Record(
        State.RUNNING,
        generation=chance.choice((0, 0, 0, 1, 20)),
        fence=1_900_000_000_000_000 + number,
        resumptions=20 if number % 10 == 0 else 0,
        checkpoint=encode(Checkpoint(cursor, {"rows": steps, "bad": 3}, steps, 100_000)),
        steps=steps,
        reason=chance.choice(("", "", "shutdown", "maintenance")),
        envelope=_envelope(number, chance),
        options=RunOptions(by="ann@admin", tags=tuple(tags)).text() if tags else "",
        stamp=f"{chance.getrandbits(64):x}",
        version=chance.randrange(1, 2**50),
    )


def _envelope(number: int, chance: Random) -> bytes:
    """A message of about a kilobyte."""
    queue = QUEUES[number % len(QUEUES)]
    headers: dict[str, Any] = dict.fromkeys(("parent_id", "eta", "expires", "stamped_headers"))
    headers |= {"lang": "py", "task": "shop.reindex", "id": str(number), "root_id": str(number)}
    headers |= {"retries": 0, "timelimit": [None, None], "origin": "gen17@web-7d5f", "stamps": {}}
    body = f'[["orders-{number}.csv"], {{"note": "{"x" * 400}"}}, {{"callbacks": null}}]'
    properties = {"correlation_id": str(number), "reply_to": "4f5a", "delivery_mode": 2}
    message = Envelope(
        body.encode(), "application/json", "utf-8", headers, properties, "", queue, "redis://r/0"
    )
    return pack(message)


def _chosen(shares: tuple[tuple[T, float], ...], chance: Random) -> T:
    at = chance.random()
    for what, share in shares:
        at -= share
        if at < 0:
            return what
    return shares[0][0]
