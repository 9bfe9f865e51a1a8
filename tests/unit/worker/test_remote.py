"""Control messages that somebody else sent."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from celery_graceful.model.maintenance.mode import EVERYTHING, Mode, hold_scopes
from celery_graceful.model.maintenance.mode_text import encode_mode
from celery_graceful.worker.maintenance import remote

TEXT = encode_mode(hold_scopes(Mode(), [EVERYTHING], now=1.0, who="w"))


class Listening:
    """A worker, and what its watch has learned."""

    def __init__(self) -> None:
        self.learned: list[Mode] = []
        maintenance = SimpleNamespace(
            runtime=SimpleNamespace(namespace="shop"),
            watch=SimpleNamespace(learn=self.learned.append),
        )
        controller = SimpleNamespace(graceful_maintenance=maintenance)
        self.state = SimpleNamespace(consumer=SimpleNamespace(controller=controller))

    def hears(self, **message: Any) -> dict[str, Any]:
        said = {"namespace": "shop", "version": 1, "text": TEXT, **message}
        return remote.graceful_maintenance(self.state, **said)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Listening:
    monkeypatch.setattr(remote, "_logged", [])
    return Listening()


def test_a_sound_message_is_learned(worker: Listening) -> None:
    assert "ok" in worker.hears()
    assert [mode.version for mode in worker.learned] == [1]


@pytest.mark.parametrize(
    "version",
    [math.inf, -math.inf, math.nan, 10**30, 10**400, -1, 0, 1.0, True, "1", [1], {}, None],
    ids=lambda value: repr(value)[:12],
)
def test_a_version_that_is_none_is_not_learned(
    worker: Listening, version: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        assert "error" in worker.hears(version=version)
    assert worker.learned == []
    assert len(caplog.records) == 1


@pytest.mark.parametrize("text", ["", "{", 5, None, ["a"], {"a": 1}, "[" * 100_000, "x" * 10**6])
def test_a_text_that_is_none_is_not_learned(worker: Listening, text: Any) -> None:
    assert "error" in worker.hears(text=text)
    assert worker.learned == []


@pytest.mark.parametrize("namespace", [None, [], {"a": 1}, 5, "other"])
def test_another_namespace(worker: Listening, namespace: Any) -> None:
    assert worker.hears(namespace=namespace) == {"ok": "not for this worker"}
