"""What is wrong with the app."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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


def test_a_store_that_does_not_answer_is_unavailable(call: Run, app: Celery) -> None:
    app.conf.graceful_store = "redis://127.0.0.1:1/0"
    forget(app)
    done = call("runs")
    assert done.exit_code == 69
    assert "127.0.0.1:1" in done.stderr


def test_a_store_inside_the_worker_cannot_be_seen(call: Run, app: Celery) -> None:
    app.conf.graceful_store = "memory://"
    forget(app)
    done = call("runs")
    assert done.exit_code == 2
    assert "cannot be seen from here" in done.stderr


def test_without_an_app_nothing_is_guessed(call: Run, app: Celery) -> None:
    app.conf.graceful_store = None
    forget(app)
    done = call("runs")
    assert done.exit_code == 2
    assert "Which app?" in done.stderr
