"""Which tasks are cut off by a period that nobody has told the worker."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery.concurrency import prefork as prefork_pool
from celery.concurrency import thread as thread_pool

from celery_graceful.stop import flag as stop_flag
from celery_graceful.worker.stopping import hand_over
from celery_graceful.worker.stopping.hand_over import HandOver

RUN: Any = SimpleNamespace(name="shop.import", id="r", is_run=True, seconds=3.0, ended=False)
PLAIN: Any = SimpleNamespace(name="shop.mail", id="p", is_run=False, seconds=3.0, ended=False)


@pytest.fixture
def flag() -> Iterator[stop_flag.StopFlag]:
    yield stop_flag.owned("worker@test")
    stop_flag.withdraw()


def made(
    flag: stop_flag.StopFlag,
    monkeypatch: pytest.MonkeyPatch,
    *running: Any,
    prefork: bool = True,
    spares: bool = True,
) -> HandOver:
    monkeypatch.setattr(hand_over, "under_way", lambda *_: list(running))
    worker = SimpleNamespace(pool_cls=(prefork_pool if prefork else thread_pool).TaskPool)
    return HandOver(worker, flag, list, lambda: None, lambda: spares)


@pytest.mark.parametrize(
    ("prefork", "spares", "running", "due"),
    [
        (True, False, (RUN, PLAIN), [RUN, PLAIN]),
        (True, True, (RUN, PLAIN), [RUN]),
        (True, True, (PLAIN,), []),
        # Threads end with their process alone, and so together.
        (False, True, (RUN, PLAIN), []),
        (False, True, (RUN,), [RUN]),
        (False, False, (RUN, PLAIN), [RUN, PLAIN]),
    ],
)
def test_what_is_cut_off(
    flag: stop_flag.StopFlag,
    monkeypatch: pytest.MonkeyPatch,
    prefork: bool,
    spares: bool,
    running: tuple[Any, ...],
    due: list[Any],
) -> None:
    assert made(flag, monkeypatch, *running, prefork=prefork, spares=spares).due() == due


def test_a_stuck_main_thread_ends_no_plain_task(
    flag: stop_flag.StopFlag, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[Any] = []
    monkeypatch.setattr(hand_over, "_end", lambda worker, tasks, number: ended.extend(tasks))
    over = made(flag, monkeypatch, RUN, PLAIN)
    over.cut_without_main_thread()
    over.cut_without_main_thread()
    assert ended == [RUN]


def test_near_the_kill_the_process_stays_for_a_plain_task(
    flag: stop_flag.StopFlag, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    left: list[str] = []

    def leave_anyway() -> Any:
        left.append("left")
        raise SystemExit

    monkeypatch.setattr(hand_over, "leave_anyway", leave_anyway)
    made(flag, monkeypatch, RUN, PLAIN).leave_unsettled()
    assert left == []
    assert "1 task is running, not cut off since nobody has told this worker" in caplog.text
    assert "shop.mail[p] (3 s)" in caplog.text
    with pytest.raises(SystemExit):
        made(flag, monkeypatch, RUN).leave_unsettled()
