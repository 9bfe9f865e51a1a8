"""What is wrong with the app."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from celery_graceful import IterableTask
from celery_graceful.model.run.record import RunKey
from celery_graceful.runtime import Runtime, forget
from tests.integration.stores.written import NEWER, Elsewhere
from tests.unit.cli.shop import ID, RUN, TASK, Run, begin


def test_a_wrong_setting_is_told_in_a_line(call: Run, app: Celery) -> None:
    app.conf.graceful_checkpoint_intervall = 1
    forget(app)
    done = call("runs")
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert "did you mean graceful_checkpoint_interval?" in done.stderr


def test_a_wrong_definition_is_told_with_its_place(call: Run, app: Celery) -> None:
    @app.task(base=IterableTask, shared=False, name="shop.faulty")
    def faulty() -> Iterator[int]:
        yield 1

    done = call("runs")
    assert done.exit_code == 0, "the others can be looked after"
    assert "shop.faulty" in done.stderr
    assert f"{Path(__file__).name}:" in done.stderr


@pytest.mark.parametrize(
    ("store", "code", "told"),
    [
        pytest.param("redis://127.0.0.1:1/0", 69, "127.0.0.1:1", id="does not answer"),
        pytest.param("memory://", 2, "cannot be seen from here", id="inside the worker"),
        pytest.param(None, 2, "Which app?", id="no app"),
    ],
)
def test_a_store_that_cannot_be_asked(
    call: Run, app: Celery, store: str | None, code: int, told: str
) -> None:
    app.conf.graceful_store = store
    forget(app)
    done = call("runs")
    assert done.exit_code == code
    assert told in done.stderr


@pytest.mark.parametrize("verb", ["show", "pause", "resume", "cancel", "resend"])
def test_a_run_of_a_later_version(call: Run, runtime: Runtime, verb: str) -> None:
    begin(runtime)
    elsewhere = Elsewhere(runtime.store_url, runtime.namespace)
    elsewhere.rewrite(RUN, json.dumps(NEWER))
    done = call(verb, ID)
    assert done.exit_code == 4
    assert "0.9.1" in done.stderr
    assert "Upgrade" in done.stderr
    assert elsewhere.summary(RUN) == NEWER


def test_a_damaged_run_does_not_hide_the_others(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    other = RunKey(TASK, "other")
    begin(runtime, other)
    Elsewhere(runtime.store_url, runtime.namespace).rewrite(other, "{")
    done = call("runs")
    assert done.exit_code == 0
    assert ID[:6] in done.stdout
    asked = call("cancel", "other")
    assert asked.exit_code == 4
    assert "run:shop.import:other" in asked.stderr
