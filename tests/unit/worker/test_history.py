"""How long tasks took, from looks now and then."""

from __future__ import annotations

from celery_graceful.worker.details import MOST_TASKS, SAMPLES, History


def test_what_is_gone_lasted_as_long_as_it_was_seen_at_least() -> None:
    history = History()
    history.look([("shop.long", "a", 3.0), ("shop.long", "b", 1.0)])
    assert history.longest() == {}
    history.look([("shop.long", "a", 7.04)])
    assert history.longest() == {"shop.long": 1.0}
    history.look([])
    assert history.longest() == {"shop.long": 7.0}


def test_only_the_last_durations_count() -> None:
    history = History()
    for seconds in (100.0, *[5.0] * SAMPLES):
        history.look([("shop.long", "id", seconds)])
        history.look([])
    assert history.longest() == {"shop.long": 5.0}


def test_it_does_not_grow_for_ever() -> None:
    history = History()
    for number in range(MOST_TASKS + 10):
        history.look([(f"task{number}", "id", 1.0)])
        history.look([])
    assert len(history.longest()) == MOST_TASKS
