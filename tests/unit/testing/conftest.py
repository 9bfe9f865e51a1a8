"""An app without a server for the tasks under test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery


@pytest.fixture
def app() -> Iterator[Any]:
    """An app that reaches nothing."""
    app = Celery("proj", broker="memory://", backend="cache+memory://", set_as_current=False)
    yield app
    app.close()
