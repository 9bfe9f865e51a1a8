"""An app whose plugin is configured wrong: nothing of Celery's own stops for that."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery

from celery_graceful import Graceful, IterableTask, plugin
from celery_graceful.errors import DefinitionError
from celery_graceful.tasks.definitions import check_all, faulty


class Odd:
    """A value that raises whatever is done with it."""

    def __repr__(self) -> str:
        raise RuntimeError("odd")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("odd")

    __hash__ = None  # type: ignore[assignment]


@pytest.fixture
def app() -> Iterator[Celery]:
    with Celery("shop", broker="memory://", set_as_current=False) as app:
        app.conf.update(graceful_lease_ttl="soon", graceful_store="redis://127.0.0.1:1/0")
        Graceful(app)
        yield app


def test_tasks_are_sent_without_a_look_at_the_settings(app: Celery) -> None:
    def plain() -> None: ...

    def run(*, cursor: Any = None) -> Iterator[int]:
        yield 1

    assert app.task(shared=False)(plain).delay().id
    assert app.task(base=IterableTask, shared=False)(run).delay().id


def test_beat_says_so_once_and_sends_its_entries(
    app: Celery, caplog: pytest.LogCaptureFixture
) -> None:
    plugin._check_beat(SimpleNamespace(app=app, scheduler=SimpleNamespace()))
    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "could not start in this beat" in line.getMessage()
    assert "graceful_lease_ttl" in line.getMessage()


def test_an_option_that_cannot_even_be_shown_stops_its_task_only(app: Celery) -> None:
    app.conf.graceful_lease_ttl = 30

    def run(*, cursor: Any = None) -> Iterator[int]:
        yield 1

    bad: Any = app.task(base=IterableTask, shared=False, name="shop.bad", max_crashes=Odd())(run)
    good: Any = app.task(base=IterableTask, shared=False, name="shop.good")(run)
    assert good.delay().id
    with pytest.raises(DefinitionError, match=r"shop\.bad.*cannot be checked"):
        bad.delay()
    with pytest.raises(DefinitionError, match=r"shop\.bad"):
        check_all(app)
    assert faulty(app) == ["shop.bad"]
