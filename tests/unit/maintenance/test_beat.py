"""What beat does with a due entry, whatever becomes of the store and the broker."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from kombu import Exchange, Queue

from celery_graceful._celery.beat import InterceptedScheduler
from celery_graceful.maintenance.beat.mode_cache import RESPITE
from celery_graceful.maintenance.beat.schedule import NAP, install_gate, policy_of
from celery_graceful.model.maintenance.mode import Kind, Scope
from celery_graceful.runtime import runtime_of
from celery_graceful.stores.base import NOTICES
from tests.unit.maintenance.beat_scene import HOUR, POLICIES, Counting, Scene


@pytest.fixture
def scene() -> Iterator[Scene]:
    app = Celery("beat-test", broker="memory://", set_as_current=False)
    names = ("skipped", "once", "all", "all-but-this", "run", "exempt", "of-b")
    app.conf.beat_schedule = {
        name: {"task": f"shop.{name}", "schedule": HOUR, "args": (name,)} for name in names
    }
    app.conf.beat_schedule["exempt"]["options"] = {"queue": "alerts"}
    app.conf.task_routes = {"shop.of-b": {"queue": "b"}}
    app.conf.result_expires = None
    yield Scene(app)
    app.close()


class TestPolicy:
    @pytest.mark.parametrize(
        ("entry", "policy"),
        [("all", "all"), ("all-of-it", "all"), ("all-but-this", "skip"), ("other", "skip")],
    )
    def test_a_name_wins_over_a_pattern(self, entry: str, policy: str) -> None:
        assert policy_of(POLICIES, entry) == policy

    def test_the_first_pattern_wins(self) -> None:
        assert policy_of({"a*": "once", "*": "all"}, "ab") == "once"


class TestHolding:
    def test_nothing_is_held_when_nothing_is_down(self, scene: Scene) -> None:
        assert scene.tick() > NAP
        scene.due("skipped", "all")
        assert scene.sent == {"skipped": 1, "all": 1}

    def test_each_policy(self, scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        scene.down()
        assert scene.tick() == NAP
        assert "Maintenance: everything (by me). 5 of 7 entries held: all-but" in caplog.text
        for _ in range(3):
            scene.due("skipped", "once", "all", "all-but-this", "run", "exempt")
        assert scene.sent == {"run": 3, "exempt": 3}
        assert scene.owed == {"once": 1, "all": 3}
        scene.up()
        assert scene.tick() == 0
        assert sum(scene.sent.values()) == 7, "one by one"
        assert "To be caught up: all × 3, once × 1" in caplog.text
        scene.tick(9)
        assert scene.sent == {"run": 3, "exempt": 3, "all": 3, "once": 1}
        assert scene.owed == {}
        assert "All is caught up: 4 sent" in caplog.text
        assert scene.tick() > NAP

    def test_a_queue_and_a_task(self, scene: Scene) -> None:
        scene.down(Scope(Kind.QUEUE, "b"), Scope(Kind.TASK, "shop.a*"))
        scene.due("of-b", "all", "skipped")
        assert scene.sent == {"skipped": 1}

    def test_one_scope_is_caught_up_while_another_is_down(self, scene: Scene) -> None:
        scene.down(Scope(Kind.TASK, "shop.all"), Scope(Kind.TASK, "shop.once"))
        scene.due("all", "once")
        scene.up(Scope(Kind.TASK, "shop.once"))
        scene.tick(5)
        assert scene.sent == {"once": 1}
        assert scene.owed == {"all": 1}

    def test_an_entry_that_is_held_has_had_its_turn(self, scene: Scene) -> None:
        # As redbeat's loop does, which leaves it to apply_async to move the entry on.
        scene.down()
        before = scene.scheduler.schedule["all"]
        scene.scheduler.apply_async(before)
        assert scene.scheduler.schedule["all"].total_run_count == before.total_run_count + 1

    def test_a_hold_that_ends_by_itself(self, scene: Scene) -> None:
        scene.down(until=10.0)
        scene.due("all")
        assert scene.sent == {}
        scene.store.forecast = ["down"] * 9  # also while the store is away
        scene.clock.now = 10.0
        scene.due("all")
        assert scene.sent == {"all": 1}

    def test_exchange_and_routing_key_tell_the_queue(self, scene: Scene) -> None:
        scene.app.conf.task_queues = [Queue("b", Exchange("letters", "topic"), "letter")]
        entry = scene.scheduler.schedule["skipped"]
        entry.options = {"exchange": "letters", "routing_key": "letter"}
        assert InterceptedScheduler(scene.scheduler).queue_of(entry) == "b"

    def test_a_router_that_fails(self, scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise LookupError("no way")

        scene.app.conf.task_routes = [fail]
        scene.down()
        scene.due("all")
        assert scene.owed == {"all": 1}
        assert "The queue of the entry all is unknown" in caplog.text


class TestCatchingUp:
    def test_it_survives_a_kill(self, scene: Scene) -> None:
        scene.down()
        scene.due("all", "all", "once")
        scene.start()
        scene.due("all", "once")
        assert scene.owed == {"all": 3, "once": 1}
        scene.up()
        scene.tick(2)
        scene.start()
        scene.tick(9)
        assert scene.sent == {"all": 1, "once": 1}
        assert scene.owed == {}

    def test_an_entry_that_is_gone(self, scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
        scene.down()
        scene.due("all", "once")
        del scene.scheduler.schedule["all"]
        scene.up()
        scene.tick(3)
        assert "The entry all was due 1 time during maintenance and is gone" in caplog.text
        assert scene.sent == {"once": 1}
        assert scene.owed == {}

    def test_a_broker_that_is_away(self, scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
        scene.down()
        scene.due("all")
        scene.up()
        scene.scheduler.refuse = True
        assert scene.tick() == NAP
        assert "The entry all cannot be caught up now; tried again" in caplog.text
        assert scene.owed == {"all": 1}
        scene.scheduler.refuse = False
        scene.clock.now += NAP
        scene.tick()
        assert scene.sent == {"all": 1}

    def test_a_second_is_sent_when_the_first_is_written_down(self, scene: Scene) -> None:
        scene.down()
        scene.due("all", "all", "all")
        scene.up()
        scene.store.forecast = ["fine", "down"]  # the mode is read, the payment is not written
        scene.tick(5)
        assert scene.sent == {"all": 1}
        assert scene.owed == {"all": 3}
        scene.clock.now += RESPITE
        scene.tick(5)
        assert scene.sent == {"all": 3}
        assert scene.owed == {}

    def test_what_could_not_be_saved_is_told_at_the_end(
        self, scene: Scene, caplog: pytest.LogCaptureFixture
    ) -> None:
        scene.down()
        scene.tick()
        scene.store.forecast = ["down"] * 2
        scene.due("all")
        scene.scheduler.close()
        assert "Beat ends and could not save what it owes: all × 1" in caplog.text
        scene.scheduler.close()
        assert scene.owed == {"all": 1}

    def test_a_signal_during_a_call_to_the_store(self, scene: Scene) -> None:
        scene.down()
        scene.tick()
        scene.store.forecast = ["answer lost: signal"]
        scene.store.on_signal = scene.scheduler.close
        with pytest.raises(SystemExit):
            scene.due("all")
        scene.scheduler.close()  # as beat does at its end
        assert scene.owed == {"all": 1}

    @pytest.mark.parametrize("down", [True, False])
    def test_a_signal_before_it_is_decided(self, scene: Scene, down: bool) -> None:
        # Celery has moved the entries on by then, and saves that in the signal's handler.
        if down:
            scene.down()
        scene.tick()
        for name in ("all", "once", "skipped"):
            scene.clock.now += NAP
            scene.store.forecast = ["answer lost: signal"]
            scene.store.on_signal = scene.scheduler.close
            with pytest.raises(SystemExit):
                scene.due(name)
            scene.scheduler.close()
        assert scene.sent == {}
        assert scene.owed == {"all": 1, "once": 1}


class TestStoreAway:
    def test_never_known(self, scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
        scene.down()
        scene.store.forecast = ["down"] * 2
        scene.due("all")
        scene.clock.now += RESPITE
        scene.due("all")
        assert scene.sent == {"all": 2}
        assert caplog.text.count("was never known: beat sends its entries") == 1
        scene.clock.now += RESPITE
        scene.due("all")
        assert scene.sent == {"all": 2}

    def test_the_last_known_mode_is_kept(
        self, scene: Scene, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        scene.down()
        scene.due("once")
        scene.store.forecast = ["down"] * 9
        for _ in range(3):
            scene.clock.now += RESPITE
            scene.due("all")
        assert scene.sent == {}
        assert caplog.text.count("uses the last it knows (held: everything (by me))") == 1
        scene.store.forecast = []
        scene.clock.now += RESPITE
        scene.tick()
        assert scene.owed == {"all": 3, "once": 1}
        assert "can be read again" in caplog.text

    def test_garbage_on_the_board(self, scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
        scene.store.write_text(NOTICES, "maintenance", "garbage", expected=0)
        scene.due("all")
        assert scene.sent == {"all": 1}
        assert "`graceful up` replaces it" in caplog.text

    def test_the_mode_is_read_once_a_second_at_most(self, scene: Scene) -> None:
        scene.store.forecast = ["fine"] * 9
        scene.tick()
        for _ in range(9):
            scene.due("all")
        assert len(scene.store.forecast) == 7, "one for the mode, one for what is owed"

    def test_a_store_that_cannot_be_opened(
        self, scene: Scene, caplog: pytest.LogCaptureFixture
    ) -> None:
        scene.app.conf.graceful_store = "nonsense://somewhere"
        scheduler: Any = Counting(scene.app)
        install_gate(scheduler, runtime_of(scene.app))
        scheduler.apply_entry(scheduler.schedule["all"])
        assert scheduler.sent == {"all": 1}
        assert "Beat does not know of maintenance and always sends" in caplog.text
