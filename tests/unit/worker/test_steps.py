"""What the worker's step does on each kind of pool."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from celery_graceful._celery.consumer.request import RunRequest
from celery_graceful.worker import step


@pytest.mark.parametrize("solo", [True, False])
def test_only_where_tasks_run_elsewhere_the_loop_is_watched(
    monkeypatch: pytest.MonkeyPatch, solo: bool
) -> None:
    for name in ("look_for_dead_children", "notice_lost_connection", "next_job_first"):
        monkeypatch.setattr(step, name, lambda *args, **options: None)
    monkeypatch.setattr(RunRequest, "next_job_first", None)
    watched: list[Any] = []
    own: Any = SimpleNamespace(
        flag=SimpleNamespace(solo=solo), renewals=SimpleNamespace(watch=watched.append)
    )
    hub = object()
    step.GracefulStep.register_with_event_loop(own, object(), hub)
    assert watched == ([] if solo else [hub])
