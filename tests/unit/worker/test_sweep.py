"""Cleaning up after background processes: whatever goes wrong there is not the worker's end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from celery_graceful.errors import ProcessError
from celery_graceful.processes import ending, registry
from celery_graceful.worker import sweep
from celery_graceful.worker.sweep import SweepStep
from tests.harness import wait_for


def failing(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise error

    return fail


@pytest.fixture
def escaped(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What ends a thread."""
    found: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", found.append)
    return found


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Iterator[SweepStep]:
    """On an empty registry, in a process that is not a container's first."""
    monkeypatch.setattr(registry, "is_empty", lambda: True)
    monkeypatch.setattr(sweep, "_is_first_process", lambda: False)
    monkeypatch.setattr(sweep, "_EVERY", 0.01)
    found = SweepStep(None)
    yield found
    found.stop(None)


@pytest.mark.parametrize("error", [PermissionError("no"), ProcessError("of somebody else")])
def test_a_registry_that_cannot_be_read_is_reported(
    monkeypatch: pytest.MonkeyPatch,
    step: SweepStep,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    monkeypatch.setattr(registry, "is_empty", failing(error))
    step.start(None)
    assert f"cannot be read: {error}" in caplog.text


@pytest.mark.parametrize("error", [OSError("no"), ProcessError("no"), RuntimeError("no")])
def test_an_entry_that_cannot_be_ended_is_reported(
    monkeypatch: pytest.MonkeyPatch,
    step: SweepStep,
    caplog: pytest.LogCaptureFixture,
    escaped: list[Any],
    error: Exception,
) -> None:
    monkeypatch.setattr(registry, "is_empty", lambda: False)
    monkeypatch.setattr(registry, "sweep", failing(error))
    step.start(None)
    wait_for(lambda: "could not be ended" in caplog.text, 20, "the log line")
    assert repr(error) in caplog.text or type(error).__name__ in caplog.text
    assert not escaped


def test_guardians_are_reaped_after_a_failure_too_and_it_is_reported_once(
    monkeypatch: pytest.MonkeyPatch,
    step: SweepStep,
    caplog: pytest.LogCaptureFixture,
    escaped: list[Any],
) -> None:
    looks: list[int] = []

    def reap() -> int:
        looks.append(len(looks))
        if len(looks) in (2, 3, 5):
            raise RuntimeError("the process table cannot be read")
        return 0

    monkeypatch.setattr(sweep, "_is_first_process", lambda: True)
    monkeypatch.setattr(ending, "reap_guardians", reap)
    step.start(None)
    wait_for(lambda: len(looks) >= 8, 20, "looks after the failures")
    step.stop(None)
    assert len([line for line in caplog.messages if "cannot be reaped" in line]) == 1
    assert not escaped
