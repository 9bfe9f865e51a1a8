"""Deleting an ended run: its record, its quarantined items, and what protects from its messages."""

from __future__ import annotations

import hashlib
import logging

from celery_graceful.errors import RunRefused
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import RunKey
from celery_graceful.model.run.verbs import public_state
from celery_graceful.model.run.verdict import Verdict
from celery_graceful.runs.lookup import Found
from celery_graceful.runs.operating.changes import Asked, Change, again, check
from celery_graceful.runs.operating.result_states import store_revoked
from celery_graceful.runs.plain_run import run_of
from celery_graceful.runs.quarantined_items import ENVELOPE
from celery_graceful.runs.transition import Patience, patiently, transition
from celery_graceful.runtime import Runtime

logger = logging.getLogger("celery_graceful.runs")

#: The kind of the texts that name deleted runs.
KIND = "deleted"


def delete(runtime: Runtime, found: Found, asked: Asked) -> Change:
    """Forget a run. A paused one is cancelled first, so that callers do not wait for it.

    Messages of the run that are on their way still are dropped for as long as the record of an
    ended run is kept.

    Raises:
        RunRefused: it has not ended.
    """
    rule, before, trouble = check(found, asked), run_of(runtime, *found), ""
    if found.record.live:
        found, trouble = _cancelled(runtime, found, asked)
    key, store = found.key, runtime.store
    store.write_text(KIND, _name(key), "deleted", keep=runtime.settings.run_retention)
    done = transition(
        store,
        key,
        ev.Forget(by=asked.action(), expected=public_state(found.record)),
        runtime.policy,
        observers=runtime.observers,
        who=asked.who,
    )
    if done.decision.verdict is Verdict.REFUSED or done.record is None:
        store.delete_text(KIND, _name(key))
        raise RunRefused(f"{key} was not deleted: {done.decision.why}. Look at it again.")
    store.drop_quarantined_range(key, ENVELOPE)
    logger.info("%s (%s) was deleted by %s: %s", key, before.state, asked.who, asked.reason or "–")
    return Change(before, before, Verdict.DONE, "deleted", trouble, rule.undo)


def was_deleted(runtime: Runtime, run: RunKey, patience: Patience) -> bool:
    """Whether an operator has deleted the run, of which there is no record.

    Raises:
        StoreUnavailable: the store did not answer for so long.
    """

    def look() -> bool:
        return runtime.store.read_text(KIND, _name(run)).version > 0

    return patiently(look, patience, what=str(run))


def _cancelled(runtime: Runtime, found: Found, asked: Asked) -> tuple[Found, str]:
    done = transition(
        runtime.store,
        found.key,
        ev.Cancel(by=asked.action(), expected=public_state(found.record)),
        runtime.policy,
        observers=runtime.observers,
        who=asked.who,
    )
    if done.decision.verdict is not Verdict.DONE:
        raise RunRefused(f"{found.key} was not deleted: {done.decision.why}. Look at it again.")
    trouble = store_revoked(runtime.app, found.key, found.record.envelope)
    return again(runtime, found), trouble


def _name(run: RunKey) -> str:
    """Of a run, whose own name may be too long or too strange for a store."""
    return hashlib.sha256(f"{run.task}\0{run.id}".encode("utf-8", "surrogatepass")).hexdigest()
