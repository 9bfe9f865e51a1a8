"""An app whose store is full of what others wrote, its commands and its screen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from celery import Celery
from click.testing import CliRunner, Result

from celery_graceful.cli import graceful
from celery_graceful.runtime import Runtime, runtime_of
from tests.unit.hostile.records import make_app

Call = Callable[..., Result]


@pytest.fixture
def app() -> Iterator[Celery]:
    app = make_app()
    yield app
    app.close()


@pytest.fixture
def runtime(app: Celery) -> Runtime:
    return runtime_of(app)


@pytest.fixture
def call(app: Celery, monkeypatch: pytest.MonkeyPatch) -> Call:
    """A function that runs a command of ``celery graceful``."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(*words: str) -> Result:
        context = SimpleNamespace(app=app)
        return CliRunner().invoke(
            graceful, words, obj=context, prog_name="celery graceful", catch_exceptions=False
        )

    return call
