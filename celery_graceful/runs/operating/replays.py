"""Sending a task that tries a run's quarantined items again.

The run's log is written first, and names the task: whatever is sent is in it. What the broker then
refuses is in the log as well, as not sent. Only a process that dies between the two leaves an entry
whose task nobody has sent; the items stay quarantined then, and a second replay does no harm.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace

from kombu.exceptions import OperationalError

from celery_graceful._celery.message.publish import publish
from celery_graceful.errors import PublishUncertain, RunRefused, StoreError
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.verdict import Verdict
from celery_graceful.runs import quarantined_items
from celery_graceful.runs.lookup import Found
from celery_graceful.runs.operating.changes import Asked, Change, check, check_broker_of
from celery_graceful.runs.plain_run import run_of
from celery_graceful.runs.transition import Transition, transition
from celery_graceful.runtime import Runtime
from celery_graceful.text.counting import counted
from celery_graceful.text.masking import mask_text

logger = logging.getLogger("celery_graceful.runs")


def replay(runtime: Runtime, found: Found, asked: Asked, *, items: Collection[int] = ()) -> Change:
    """Send the task; its id is ``sent``.

    Raises:
        RunRefused: nothing is quarantined, or not one of these items; or the run belongs to
            another broker.
        kombu.exceptions.OperationalError: the broker cannot be reached.
        PublishUncertain: it may or may not have the message.
    """
    rule, store, key = check(found, asked), runtime.store, found.key
    there = {item.ordinal for item in quarantined_items.chosen(store, key, items)}
    if missing := sorted(set(items) - there):
        raise RunRefused(f"{key} has no quarantined item {missing[0]}.")
    message = quarantined_items.replaying(runtime, key, items)
    if message is None:
        raise RunRefused(f"{key} has no quarantined items.")
    check_broker_of(runtime, key, message.broker)
    count, sent = len(there) or quarantined_items.count(store, key), str(message.headers["id"])
    why = f"{counted(count, 'item is', 'items are')} tried again by {key.task}[{sent}]"
    done = _noted(runtime, found, asked, why)
    if done.record is None or done.decision.verdict is not Verdict.DONE:
        raise RunRefused(f"{key} was not replayed: {done.decision.why}. Look at it again.")
    try:
        publish(runtime.app, message, timeout=runtime.settings.release_timeout)
    except (OperationalError, PublishUncertain) as exc:
        uncertain = isinstance(exc, PublishUncertain)
        state = "may not have been sent" if uncertain else "was not sent"
        _note_trouble(runtime, found, asked, f"{key.task}[{sent}] {state}: {mask_text(str(exc))}")
        raise
    return Change(
        run_of(runtime, *found),
        run_of(runtime, key, done.record, found.now),
        Verdict.PUBLISH,
        why,
        undo=rule.undo,
        sent=sent,
        items=count,
    )


def _noted(runtime: Runtime, found: Found, asked: Asked, change: str) -> Transition:
    by = replace(asked.action(), change=change)
    return transition(
        runtime.store,
        found.key,
        ev.Replay(by=by, expected=asked.expected_state),
        runtime.policy,
        observers=runtime.observers,
        who=asked.who,
    )


def _note_trouble(runtime: Runtime, found: Found, asked: Asked, change: str) -> None:
    """Correct the run's log: what is raised says the same, so trouble here is a warning."""
    try:
        _noted(runtime, found, replace(asked, expected_state=""), change)
    except StoreError as exc:
        logger.warning("%s: its log names a task, and %s: %s", found.key, change, exc)
