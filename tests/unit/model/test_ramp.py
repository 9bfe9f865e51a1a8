"""A slow start: the slots of all workers together open evenly."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from celery_graceful.model.maintenance.held import slots_allowed
from celery_graceful.model.maintenance.mode import Ramp

RAMP = Ramp(1000.0, 300.0)


def all_slots(now: float, slots: int, workers: int) -> int:
    """How many slots of all workers are open."""
    allowed = [slots_allowed(RAMP, now, slots, rank, workers) for rank in range(workers)]
    return sum(slots if a is None else a for a in allowed)


def test_without_a_ramp_and_after_it_all_are_open() -> None:
    assert slots_allowed(None, 0.0, 4, 0, 1) is None
    assert slots_allowed(RAMP, RAMP.until, 4, 0, 1) is None


@given(st.integers(1, 16), st.integers(1, 60))
def test_one_slot_is_open_at_first_and_nearly_all_at_the_end(slots: int, workers: int) -> None:
    assert all_slots(RAMP.since, slots, workers) == 1
    assert all_slots(RAMP.until - 1e-3, slots, workers) >= slots * workers - 1


@given(st.integers(1, 16), st.integers(1, 60), st.floats(0.0, 1.0))
def test_the_share_of_all_slots_grows_with_the_time(slots: int, workers: int, part: float) -> None:
    total = slots * workers
    opened = all_slots(RAMP.since + part * RAMP.seconds, slots, workers)
    assert max(1, int(part * total) - 1) <= opened <= max(1.0, part * total + 1)


@given(st.integers(1, 8), st.integers(1, 9), st.lists(st.floats(0, 300), min_size=2, max_size=9))
def test_it_never_closes_again(slots: int, workers: int, moments: list[float]) -> None:
    opened = [all_slots(RAMP.since + moment, slots, workers) for moment in sorted(moments)]
    assert opened == sorted(opened)


@given(st.integers(-5, 99), st.integers(-5, 9))
def test_a_place_that_is_not_known_harms_nothing(rank: int, workers: int) -> None:
    allowed = slots_allowed(RAMP, RAMP.since + 10, 4, rank, workers)
    assert allowed is not None
    assert 0 <= allowed <= 4
