"""Waiting for workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from celery_graceful import Graceful
from celery_graceful.errors import MaintenanceEnded, WaitTimedOut
from celery_graceful.maintenance import barrier_wait
from celery_graceful.maintenance.barrier_wait import watch
from celery_graceful.maintenance.broker_replies import BrokerReplies
from celery_graceful.model.maintenance.mode import EVERYTHING
from celery_graceful.runtime import Runtime, forget
from celery_graceful.stores.base import NOTICES
from tests.harness.waiting import wait_for
from tests.unit.conftest import LONG_QUIET, QUIET
from tests.unit.maintenance.workers import IMPORT, LATEST, MAIL, attend

pytestmark = pytest.mark.usefixtures("quick_answers")


class Meanwhile(threading.Thread):
    """Does something as soon as everything is down."""

    def __init__(self, runtime: Runtime, deed: Callable[[], object]) -> None:
        super().__init__()
        self._store, self._deed = runtime.open_store(), deed

    def run(self) -> None:
        wait_for(lambda: self._store.read_text(NOTICES, "maintenance").version > 0, timeout=10)
        self._deed()
        self._store.close()


def test_it_ends_when_the_last_one_has_paused(graceful: Graceful, runtime: Runtime) -> None:
    attend(runtime.store, version=0, paused=False, busy=(IMPORT,))
    attend(runtime.store, "forced@host", version=0, paused=False, forced=True, busy=(MAIL,))
    meanwhile = Meanwhile(runtime, lambda: attend(runtime.store, version=LATEST))
    meanwhile.start()
    done = graceful.maintenance.down(wait=True, timeout=20)
    meanwhile.join()
    assert done.barrier is not None
    assert done.barrier.clear
    assert [(seen.hostname, str(seen.state)) for seen in done.barrier.workers] == [
        ("forced@host", "forced"),
        ("w1@host", "paused"),
    ]


def test_nobody_there_is_quickly_waited_for(graceful: Graceful) -> None:
    began = time.monotonic()
    graceful.maintenance.down(wait=True)
    assert time.monotonic() - began < 15


class Asked:
    """Answers over the broker, some of which come only to those who wait for long."""

    def __init__(self, soon: tuple[str, ...], late: tuple[str, ...] = ()) -> None:
        self.soon, self.late = soon, late
        self.quiets: list[float] = []

    def __call__(self, *_: Any, quiet: float) -> BrokerReplies:
        self.quiets.append(quiet)
        hosts = self.soon + (self.late if quiet >= LONG_QUIET else ())
        return BrokerReplies({host: frozenset({"mail"}) for host in hosts})


@pytest.mark.parametrize("soon", [(), ("other@host",)], ids=["nobody", "another one"])
def test_one_that_answers_late_is_waited_for(
    graceful: Graceful, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, soon: tuple[str, ...]
) -> None:
    attend(runtime.store, version=LATEST)
    for host in soon:
        attend(runtime.store, host, version=LATEST)
    asked = Asked(soon, late=("stranger@host",))
    monkeypatch.setattr(barrier_wait, "ask_workers", asked)
    with pytest.raises(WaitTimedOut, match="stranger@host: runs without celery-graceful"):
        graceful.maintenance.down(wait=True, timeout="0.5s")
    assert asked.quiets[:2] == [QUIET, LONG_QUIET]


def test_nobody_is_waited_for_where_all_that_are_known_answer(
    graceful: Graceful, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    attend(runtime.store, version=LATEST)
    asked = Asked(("w1@host",))
    monkeypatch.setattr(barrier_wait, "ask_workers", asked)
    assert graceful.maintenance.down(wait=True, timeout=20).barrier is not None
    assert asked.quiets == [QUIET]


def test_it_times_out_and_names_what_still_runs(graceful: Graceful, runtime: Runtime) -> None:
    attend(runtime.store, version=LATEST, busy=(IMPORT,))
    with pytest.raises(WaitTimedOut) as told:
        graceful.maintenance.down(wait=True, timeout="0.5s")
    assert "w1@host: shop.import[i1] has run for 12.0 s" in str(told.value)
    assert graceful.maintenance.status().down


def test_a_lost_worker_is_waited_for_a_lease_at_most(graceful: Graceful, runtime: Runtime) -> None:
    runtime.app.conf.graceful_lease_ttl = 2
    forget(runtime.app)
    attend(runtime.store, version=0, paused=False, busy=(MAIL,))
    done = graceful.maintenance.down(wait=True, timeout=30)
    assert done.barrier is not None
    assert [str(seen.state) for seen in done.barrier.workers] == ["gone"]


@pytest.mark.parametrize("again", [False, True], ids=["up", "up and down again"])
def test_whoever_lifts_it_meanwhile_is_named(
    graceful: Graceful, runtime: Runtime, again: bool
) -> None:
    attend(runtime.store, version=0)

    def release() -> None:
        graceful.maintenance.up(who="bob@host")
        if again:
            graceful.maintenance.down()

    meanwhile = Meanwhile(runtime, release)
    meanwhile.start()
    with pytest.raises(MaintenanceEnded, match="bob@host has released everything meanwhile"):
        graceful.maintenance.down(wait=True, timeout=20)
    meanwhile.join()


def test_what_ends_by_itself_is_not_waited_for(graceful: Graceful, runtime: Runtime) -> None:
    attend(runtime.store, version=0)
    with pytest.raises(MaintenanceEnded, match="ended by itself"):
        graceful.maintenance.down(wait=True, seconds=0.5, timeout=20)


def test_what_others_hold_besides_is_not_waited_for(graceful: Graceful, runtime: Runtime) -> None:
    attend(runtime.store, version=LATEST, busy=(IMPORT,))
    graceful.maintenance.down(["celery"])
    assert graceful.maintenance.down(["mail"], wait=True, timeout=20).barrier is not None


def test_each_look_is_shown(graceful: Graceful, runtime: Runtime) -> None:
    attend(runtime.store, version=0)
    done = graceful.maintenance.down()
    looks = watch(runtime, done.mode, (EVERYTHING,), 20)
    assert not next(looks).clear
    attend(runtime.store, version=LATEST)
    *_, last = looks
    assert last.clear
