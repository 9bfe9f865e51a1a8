"""Sending a task that tries a run's quarantined items again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from celery_graceful.errors import RunRefused
from celery_graceful.runs import quarantined_items
from celery_graceful.runs.lookup import Found
from celery_graceful.runs.plain_run import Run, run_of
from celery_graceful.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Replay:
    """A task that tries quarantined items again."""

    run: Run
    #: The id of the task that was sent; its name is that of the run's task.
    sent: str
    #: How many items it tries; at least so many, if it is :data:`.MOST_COUNTED`.
    items: int


def replay(runtime: Runtime, found: Found, items: Collection[int] = ()) -> Replay:
    """Send the task.

    Raises:
        RunRefused: nothing is quarantined, or not one of these items.
    """
    store, key = runtime.store, found.key
    there = {item.ordinal for item in quarantined_items.chosen(store, key, items)}
    if missing := sorted(set(items) - there):
        raise RunRefused(f"{key} has no quarantined item {missing[0]}.")
    sent = quarantined_items.replay(runtime, key, items)
    if sent is None:
        raise RunRefused(f"{key} has no quarantined items.")
    count = len(there) or quarantined_items.count(store, key)
    return Replay(run_of(runtime, *found), sent, count)
