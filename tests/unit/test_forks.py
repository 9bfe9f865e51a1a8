"""Gates that close for a fork open again, whatever is raised meanwhile."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable

import pytest

from celery_graceful import forks
from celery_graceful.forks import ForkGate


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
    forks._before_fork()
    forks._in_parent()
    assert can_enter(gate)
    assert can_register(), "others wait for a fork that is over"


def can_register() -> bool:
    registered = threading.Event()

    def register() -> None:
        ForkGate(before=nothing, after_in_child=nothing)
        registered.set()

    threading.Thread(target=register, daemon=True).start()
    return registered.wait(10)


class Counter:
    def __init__(self) -> None:
        self.forks = 0
        forks.after_fork(self.forked)

    def forked(self) -> None:
        self.forks += 1


def test_each_child_is_told_once_and_the_parent_is_not() -> None:
    forks.after_fork(raising)  # one that fails keeps no other from being called
    counter = Counter()
    pid = os.fork()
    if pid == 0:
        os._exit(counter.forks)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert counter.forks == 0
    forks._calls[:] = [each for each in forks._calls if each() is not raising]


def test_what_is_told_of_forks_is_not_kept_alive() -> None:
    counter = Counter()
    gone = weakref.ref(counter)
    del counter
    assert gone() is None
