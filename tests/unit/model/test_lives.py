"""Lives of a run that once went wrong, or must be reachable, told step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from celery_graceful.model.record import Outcome, Record
from tests.lives.places import MemoryPlace
from tests.lives.project import LEASE, MAX_CRASHES, Project
from tests.lives.settling import settle
from tests.lives.world import ITEMS, SLICE, Leg, Message, World

#: Slices of time after which a rescuer has seen the store well for a lease, and acts.
A_LEASE_AND_MORE = int(LEASE / SLICE) + 2


@pytest.fixture
def world() -> Iterator[World]:
    project = Project()
    yield World(project, MemoryPlace())
    project.close()


def _carried(world: World) -> Leg:
    return world.deliver(world.broker[0], world.workers[0])


def _crash(world: World, leg: Leg) -> None:
    world.crash(leg)
    world.report_dead(leg.worker)


def _is_dropped(world: World, message: Message) -> bool:
    world.broker.append(message)
    return world.deliver(message, world.workers[1]) not in world.legs


def _record(world: World) -> Record:
    record = world.record
    assert record is not None
    return record


def test_crashes_without_progress_end_the_run(world: World) -> None:
    for _ in range(MAX_CRASHES):
        leg = _carried(world)
        assert leg.phase == "run"
        _crash(world, leg)
    assert _carried(world).phase == "give_up"
    settle(world)
    assert _record(world).outcome is Outcome.FAILED


def test_crashes_with_progress_do_not(world: World) -> None:
    for _ in range(ITEMS):
        leg = _carried(world)
        world.item(leg)
        world.flush(leg)
        _crash(world, leg)
    settle(world)
    assert _record(world).outcome is Outcome.COMPLETED


def test_a_leg_that_came_back_and_got_further_is_no_reason_to_give_up(world: World) -> None:
    leg = _carried(world)
    for _ in range(MAX_CRASHES):
        leg.worker.frozen = True
        world.pass_time(A_LEASE_AND_MORE, lost=True)
        world.recover(leg.worker)
        leg.phase = "publish"
        world.publish(leg, "refused")  # takes the run back from the rescuer
        assert leg.phase == "run"
    assert _record(world).crashes == MAX_CRASHES
    world.item(leg)
    world.flush(leg)
    world.leave(leg, "shutdown")
    world.publish(leg)
    assert _carried(world).phase == "run"


def test_a_returned_message_that_waits_long_does_not_run_twice(world: World) -> None:
    leg = _carried(world)
    world.leave(leg, "returned")
    world.publish(leg)
    world.pass_time(A_LEASE_AND_MORE)
    sent_again = world.broker.pop()
    settle(world)
    assert _record(world).outcome is Outcome.COMPLETED
    world.pass_time(1)
    assert _is_dropped(world, sent_again)  # else the world would notice a second start


def test_a_finished_run_is_admitted_even_where_queues_are_long(world: World) -> None:
    leg = _carried(world)
    for _ in range(ITEMS):
        world.item(leg)
    world.finish(leg)
    world.crash_worker(leg.worker)
    world.broker.clear()
    world.pass_time(A_LEASE_AND_MORE)
    for _ in range(5):
        world.place.shift(100 * LEASE)
        world.pass_time(1)
    assert len(world.broker) > 4
    assert _carried(world).phase == "finish"


# -- duplicate messages and stale legs ---------------------------------------------------------


def _handed_over(world: World) -> Leg:
    leg = _carried(world)
    world.leave(leg, "shutdown")
    world.publish(leg)
    return leg


def _rescued(world: World) -> Leg:
    """A leg that stands still, and whose run was rescued."""
    leg = _carried(world)
    leg.worker.frozen = True
    world.pass_time(A_LEASE_AND_MORE)
    return leg


@pytest.mark.parametrize("left", [_handed_over, _rescued])
def test_the_old_message_comes_back_before_the_new_one(
    world: World, left: Callable[[World], Leg]
) -> None:
    old = left(world).message
    assert _is_dropped(world, Message(old.generation, redelivered=True))
    settle(world)
    assert _record(world).outcome is Outcome.COMPLETED


def test_a_duplicate_comes_after_the_end(world: World) -> None:
    _handed_over(world)
    duplicate = Message(world.broker[0].generation)
    settle(world)
    world.pass_time(1)
    assert _is_dropped(world, duplicate)
    assert _is_dropped(world, Message(0, redelivered=True))


@pytest.mark.parametrize("what", ["flush", "leave", "finish"])
def test_a_leg_wakes_up_after_another_was_admitted(world: World, what: str) -> None:
    stale = _rescued(world)
    other = world.deliver(world.broker[0], world.workers[1])
    before = _record(world)
    world.recover(stale.worker)
    if what == "leave":
        world.leave(stale, "shutdown")
    else:
        getattr(world, what)(stale)
    assert world.legs == [other]
    assert _record(world) == before


@pytest.mark.parametrize("slices", range(5, 10))
def test_a_rescuer_that_could_read_takes_no_run_whose_owner_could_not_write(
    world: World, slices: int
) -> None:
    """A store without memory answers reads; whoever has a run cannot renew its lease meanwhile."""
    leg, other = _carried(world), world.workers[1]
    world.pass_time(A_LEASE_AND_MORE)
    world.refuses = True
    world.pass_time(slices)
    world.refuses = False
    for _ in range(2):
        world.look(other)
    assert _record(world).owner == leg.worker.name
    settle(world)
    assert _record(world).outcome is Outcome.COMPLETED
