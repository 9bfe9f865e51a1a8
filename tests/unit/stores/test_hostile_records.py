"""Records that somebody else wrote: no number in them stops whoever looks for overdue runs."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from celery_graceful.model.run import events as ev
from celery_graceful.model.run.decide import decide
from celery_graceful.model.run.record import MOST_GENERATIONS, Record, State, replace
from celery_graceful.model.run.verdict import Policy
from celery_graceful.stores.codec import Unreadable, extra_of, record_of
from celery_graceful.stores.redis.encoding import fields_of

RECORD = Record(
    State.RUNNING, generation=1, fence=2, owner="w", due_at=5.0, started_at=4.0, version=3
)
NAMES = ("v", "s", "f", "o", "d", "c", "n", "q", "r", "e", "m", "x")


def stored(**changes: bytes | None) -> list[bytes | None]:
    flat = fields_of(RECORD)
    there = {b"v": b"3", b"d": b"5.0", **dict(zip(flat[::2], flat[1::2], strict=True))}
    present = {name: there.get(name.encode()) for name in NAMES}
    return list({**present, **changes}.values())


def summary(**changes: Any) -> bytes:
    return json.dumps({**json.loads(extra_of(RECORD)), **changes}).encode()


def test_the_sound_one_is_read() -> None:
    assert record_of(stored()) == RECORD


HUGE = 10**400
WRONG: dict[str, dict[str, Any]] = {
    "started_at of 400 digits": {"m": summary(started_at=HUGE)},
    "started_at infinite": {"m": summary(started_at=math.inf)},
    "started_at no number": {"m": summary(started_at=math.nan)},
    "started_at past all calendars": {"m": summary(started_at=1e18)},
    "started_at true": {"m": summary(started_at=True)},
    "kept_for of 400 digits": {"m": summary(kept_for=HUGE)},
    "kept_for negative": {"m": summary(kept_for=-1)},
    "republished of 400 digits": {"m": summary(republished=HUGE)},
    "republished negative": {"m": summary(republished=-1)},
    "republished true": {"m": summary(republished=True)},
    "generation too high": {"m": summary(generation=MOST_GENERATIONS + 1)},
    "generation negative": {"m": summary(generation=-1)},
    "crash_steps below -1": {"m": summary(crash_steps=-2)},
    "outcome a list": {"m": summary(outcome=[])},
    "outcome a mapping": {"m": summary(outcome={})},
    "reason a number": {"m": summary(reason=1)},
    "history a list": {"m": summary(history=[])},
    "history of 40 kB": {"m": summary(history="x" * 40_000)},
    "actions a number": {"m": summary(actions=1)},
    "actions of 40 kB": {"m": summary(actions="x" * 40_000)},
    "error a mapping": {"m": summary(error={})},
    "trace of 2 kB": {"m": summary(trace="x" * 2000)},
    "worker null": {"m": summary(worker=None)},
    "process true": {"m": summary(process=True)},
    "process negative": {"m": summary(process=-1)},
    "began infinite": {"m": summary(began=math.inf)},
    "a key twice": {"m": summary()[:-1] + b',"stalls":1}'},
    "deep": {"m": b"[" * 200_000},
    "due_at no number": {"d": b"nan"},
    "due_at infinite": {"d": b"inf"},
    "due_at far away": {"d": b"1e300"},
    "ended_at infinite": {"x": b"-inf"},
    "fence of 400 digits": {"f": str(HUGE).encode()},
    "fence negative": {"f": b"-1"},
    "version of 5000 digits": {"v": b"1" * 5000},
    "steps beyond 64 bits": {"n": b"9" * 19},
    "state no text": {"s": b"\xff"},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_unreadable_and_nothing_else(wrong: dict[str, bytes]) -> None:
    with pytest.raises(Unreadable):
        record_of(stored(**wrong))


def test_a_wait_that_doubled_for_ever_is_clamped() -> None:
    """``2 ** 10**10`` takes more memory than there is."""
    record = replace(RECORD, state=State.INTERRUPTED, owner=None, republished=10**10)
    decision = decide(record, ev.Rescue(), 100.0, Policy(lease_ttl=30.0))
    assert decision.due_in == 64 * 30.0


@pytest.mark.parametrize(
    "event", [ev.Rescue(), ev.Pause(), ev.HandOver(2, None, 1, "shutdown"), ev.Wait(2, None, 1, "")]
)
def test_the_highest_generation_stays(event: ev.Event) -> None:
    """A higher one would be taken for none by each worker, and the run's messages be dropped."""
    record = replace(RECORD, generation=MOST_GENERATIONS, owner=None)
    written = decide(record, event, 100.0, Policy()).record
    assert written is not None
    assert written.generation == MOST_GENERATIONS
