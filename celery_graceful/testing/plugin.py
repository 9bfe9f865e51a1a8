"""The pytest plugin: fixtures. pytest imports this at its start, so it imports nothing more."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from celery_graceful.stores.base import Store

#: The namespace of runs in tests.
NAMESPACE = "test"


@pytest.fixture(scope="session")
def assert_resumable() -> Callable[..., None]:
    """The function :func:`celery_graceful.testing.assert_resumable`."""
    from celery_graceful import testing

    return testing.assert_resumable


@pytest.fixture(scope="session")
def run_until() -> Callable[..., Any]:
    """The function :func:`celery_graceful.testing.run_until`."""
    from celery_graceful import testing

    return testing.run_until


@pytest.fixture(scope="session")
def simulate_stop() -> Callable[..., Any]:
    """The context manager :func:`celery_graceful.testing.simulate_stop`."""
    from celery_graceful import testing

    return testing.simulate_stop


@pytest.fixture
def graceful_settings() -> dict[str, Any]:
    """Settings for an app under test: runs in memory, new for each test, and quick checkpoints.

    Use it as ``app.conf.update(graceful_settings)``, or in a ``celery_config`` fixture of one's
    own. The memory is that of this process: for workers in a thread of it.
    """
    return {
        "graceful_store": f"memory://{uuid4()}",
        "graceful_namespace": NAMESPACE,
        "graceful_checkpoint_interval": 0.1,
    }


@pytest.fixture
def graceful_store(graceful_settings: dict[str, Any]) -> Store:
    """The store of apps that have ``graceful_settings``: empty at the start of the test."""
    from celery_graceful.stores.url import open_store

    return open_store(graceful_settings["graceful_store"], NAMESPACE)
