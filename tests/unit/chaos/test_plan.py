"""The plan of a chaos run is the same for the same seed."""

from __future__ import annotations

from collections import Counter

from tests.chaos.plan import KINDS, plan


def test_the_same_seed_makes_the_same_plan() -> None:
    assert plan(7, 200, 3.0) == plan(7, 200, 3.0)
    assert plan(7, 200, 3.0) != plan(8, 200, 3.0)


def test_a_longer_plan_begins_like_a_shorter_one_of_whole_rounds() -> None:
    kinds = [fault.kind for fault in plan(7, 40, 3.0)]
    assert [fault.kind for fault in plan(7, 20, 3.0)] == kinds[:20]


def test_every_round_has_every_kind() -> None:
    counts = Counter(fault.kind for fault in plan(7, 20, 3.0))
    assert set(counts) == set(KINDS)


def test_only_some_kinds() -> None:
    assert {fault.kind for fault in plan(7, 30, 3.0, ["sigkill_child"])} == {"sigkill_child"}


def test_stops_of_workers_and_outages_outlast_the_lease() -> None:
    for fault in plan(7, 200, 3.0):
        if fault.kind in ("sigstop_worker", "sigstop_main", "store_outage", "store_silence"):
            assert fault.length > 3.0
