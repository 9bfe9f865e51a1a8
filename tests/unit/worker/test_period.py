"""What a worker finds out at its start, and says that it goes by."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery

from celery_graceful.grace import kubernetes, surroundings
from celery_graceful.grace.deadlines import Grace, Period
from celery_graceful.runtime import runtime_of
from celery_graceful.worker.stopping.period import grace_of, in_force


def app(**settings: Any) -> Celery:
    found = Celery("shop", broker="redis://:secret@broker:6379/0", set_as_current=False)
    found.conf.update(settings)
    return found


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who was asked for the grace period; only Kubernetes knows it."""
    found: list[str] = []

    def asking(name: str, seconds: float | None) -> surroundings.Reader:
        def ask(environ: Mapping[str, str], patience: float) -> Period | None:
            found.append(name)
            return None if seconds is None else Period(seconds, f"{name}'s word")

        return ask

    api = asking("kubernetes", 30.0)
    monkeypatch.setattr(kubernetes, "ask", api)
    monkeypatch.setattr(surroundings, "READERS", (asking("systemd", None), api))
    monkeypatch.delenv("GRACEFUL_GRACE_PERIOD", raising=False)
    return found


def test_the_api_of_kubernetes_is_not_asked_unless_it_is_wanted(asked: list[str]) -> None:
    assert grace_of(SimpleNamespace(app=app())) is None
    assert asked == ["systemd"]
    asked.clear()
    grace = grace_of(SimpleNamespace(app=app(graceful_ask_kubernetes=True)))
    assert grace is not None
    assert (grace.seconds, grace.source) == (30.0, "kubernetes's word")
    assert asked == ["systemd", "kubernetes"]


def test_who_is_told_asks_nobody(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {"graceful_ask_kubernetes": True}
    assert grace_of(SimpleNamespace(app=app(graceful_grace_period=20, **wanted))) is not None
    monkeypatch.setenv("GRACEFUL_GRACE_PERIOD", "off")
    assert grace_of(SimpleNamespace(app=app(**wanted))) is None
    assert asked == []


@pytest.mark.parametrize(
    ("settings", "grace", "parts"),
    [
        pytest.param(
            {},
            None,
            ["runs of shop are kept in redis://", "broker_url", "lease 30s", "not known"],
            id="nothing",
        ),
        pytest.param(
            {
                "graceful_store": "sqlite:///runs.sqlite3",
                "graceful_lease_ttl": "1m",
                "graceful_namespace": "other",
            },
            Grace(90.0, 10.0, "TimeoutStopSec of shop.service", learnt=True),
            [
                "runs of other are kept in sqlite:///runs.sqlite3",
                "lease 1m",
                "grace period 1m 30s (TimeoutStopSec of shop.service)",
                "iterable tasks that still run are cut off 10s before its end, and others are not",
            ],
            id="all",
        ),
        pytest.param(
            {},
            Grace(30.0, 6.0, "graceful_grace_period"),
            ["30s (graceful_grace_period), tasks that still run are cut off 6s before its end"],
            id="told",
        ),
    ],
)
def test_one_line_says_what_is_in_force(
    settings: dict[str, Any], grace: Grace | None, parts: list[str]
) -> None:
    line = in_force(runtime_of(app(**settings)), grace)
    assert [part for part in parts if part not in line] == [], line
    assert "secret" not in line
    assert "\n" not in line
