"""What is wrong with the app."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from celery_graceful import IterableTask
from celery_graceful.runtime import forget
from tests.unit.cli.shop import Run


def test_a_wrong_setting_is_told_in_a_line(call: Run, app: Celery) -> None:
    app.conf.graceful_flush_intervall = 1
    forget(app)
    done = call("runs")
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert "did you mean graceful_flush_interval?" in done.stderr


def test_a_wrong_definition_is_told_with_its_place(call: Run, app: Celery) -> None:
    @app.task(base=IterableTask, shared=False, name="shop.faulty")
    def faulty() -> Iterator[int]:
        yield 1

    done = call("runs")
    assert done.exit_code == 2
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
