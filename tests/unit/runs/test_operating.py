"""The verbs of ``graceful.runs``, by one method for all of them."""

from __future__ import annotations

import re
import uuid

import pytest
from celery import Celery

from celery_graceful import Graceful, errors
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import RunKey
from celery_graceful.runs.api import Runs
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import runtime_of

TASK = "shop.import"


@pytest.fixture
def runs() -> Runs:
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.update(graceful_store="memory://", graceful_namespace=uuid.uuid4().hex)
    runtime = runtime_of(app)
    admit = ev.Admit(generation=0, owner="w1/start", at=1.0)
    transition(runtime.store, RunKey(TASK, "a"), admit, runtime.policy)
    return Graceful(app).runs


def test_the_answer_names_the_states_and_what_undoes_it(runs: Runs) -> None:
    change = runs.apply("pause", "a", reason="the disk is full", who="ann")
    assert (change.before.requested, change.run.requested) == (None, "pause")
    assert change.undo == "resume"
    (action,) = change.run.actions
    assert (action.who, action.verb, action.reason) == ("ann", "pause", "the disk is full")
    assert runs.apply(change.undo, "a").run.requested is None


def test_a_stale_request_is_refused(runs: Runs) -> None:
    with pytest.raises(errors.RunRefused, match="is running by now, and was to be paused"):
        runs.apply("cancel", "a", expected_state="paused")
    assert runs.apply("cancel", "a", expected_state="running").run.requested == "cancel"


def test_a_refusal_says_why(runs: Runs) -> None:
    with pytest.raises(errors.RunRefused, match=re.escape("resume does not apply to shop.import")):
        runs.apply("resume", "a")
    with pytest.raises(errors.RunRefused, match="has no quarantined items"):
        runs.apply("replay", "a")


def test_what_is_no_verb(runs: Runs) -> None:
    with pytest.raises(ValueError, match="'explode' is not a valid Verb"):
        runs.apply("explode", "a")
    with pytest.raises(TypeError, match="pause has no argument 'fast'"):
        runs.apply("pause", "a", fast=True)
