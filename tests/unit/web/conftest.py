"""A screen over runs in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery

from celery_graceful.runtime import Runtime, runtime_of
from celery_graceful.web.dispatch import Screen
from tests.unit.web.scene import Browser, make_app


@pytest.fixture
def app() -> Iterator[Celery]:
    app = make_app()
    yield app
    app.close()


@pytest.fixture
def runtime(app: Celery) -> Runtime:
    return runtime_of(app)


@pytest.fixture
def screen(app: Celery) -> Screen:
    return Screen(app)


@pytest.fixture
def browser(screen: Screen) -> Browser:
    return Browser(screen)
