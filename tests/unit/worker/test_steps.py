"""What the worker's step does on each kind of pool."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from celery_graceful._celery.consumer.run_hooks import RunHooks
from celery_graceful._celery.pool.kind import PoolKind
from celery_graceful.worker import step


@pytest.mark.parametrize("solo", [True, False])
def test_only_where_tasks_run_elsewhere_the_loop_is_watched(
    monkeypatch: pytest.MonkeyPatch, solo: bool
) -> None:
    for name in ("look_for_dead_children", "notice_lost_connection", "next_job_first"):
        monkeypatch.setattr(step, name, lambda *args, **options: None)
    watched: list[Any] = []
    own: Any = SimpleNamespace(
        pool=PoolKind("solo" if solo else "thread", main_thread=solo),
        hooks=RunHooks(),
        renewals=SimpleNamespace(watch=watched.append),
    )
    hub = object()
    step.GracefulStep.register_with_event_loop(own, object(), hub)
    assert watched == ([] if solo else [hub])
