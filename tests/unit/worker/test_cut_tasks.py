"""What a stopping worker tells of a run that it has cut off."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from celery_graceful._celery.consumer.run_hooks import RunHooks
from celery_graceful.worker.stopping.cut_tasks import CutTasks


def test_a_run_is_released_by_its_real_name() -> None:
    lost: list[tuple[Any, ...]] = []
    listener: Any = SimpleNamespace(child_lost=lambda *args, **options: lost.append(args))
    request = SimpleNamespace(
        type="shop.import", name="shown as this", generation=3, hooks=RunHooks(listener)
    )
    task: Any = SimpleNamespace(
        is_run=True, ended=False, can_go_back=False, was_revoked=False, id="1", request=request
    )
    task.name = request.name
    CutTasks(SimpleNamespace()).settle(task)
    assert lost == [("shop.import", "1", 3, "cut off at a stop")]
