"""Gates that close for a fork open again, whatever is raised meanwhile."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest

from celery_graceful.stores import forks
from celery_graceful.stores.forks import ForkGate


def nothing() -> None:
    pass


def raising() -> None:
    raise OSError("a driver's own trouble")


def can_enter(gate: ForkGate) -> bool:
    entered = threading.Event()

    def enter() -> None:
        with gate.inside():
            entered.set()

    threading.Thread(target=enter, daemon=True).start()
    return entered.wait(10)


@pytest.mark.parametrize(("before", "after"), [(raising, nothing), (nothing, raising)])
def test_a_hook_that_raises_leaves_no_gate_locked(
    before: Callable[[], None], after: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    faulty = ForkGate(before=before, after_in_child=after)
    sound = ForkGate(before=nothing, after_in_child=nothing)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if can_enter(faulty) and can_enter(sound) else 1)
    assert os.waitpid(pid, 0)[1] == 0, "in the child"
    assert can_enter(faulty)
    assert can_enter(sound)
    if before is raising:
        assert "may not be usable after a fork" in caplog.text


def test_an_exception_of_a_signal_handler_while_it_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = ForkGate(before=nothing, after_in_child=nothing)
    monkeypatch.setattr(gate, "close", lambda: raising())
    forks._close_all()
    forks._open_all()
    assert can_enter(gate)
    assert not forks._watching_lock.locked()
