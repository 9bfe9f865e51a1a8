"""Lives of a run that once went wrong, or must be reachable, told step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from celery_graceful.model.run.record import Outcome, Record
from tests.lives.cast import ITEMS, Execution, Message
from tests.lives.places import MemoryPlace
from tests.lives.project import LEASE, MAX_CRASHES, Project
from tests.lives.settling import settle
from tests.lives.world import SLICE, World

#: Slices of time after which a rescuer has seen the store well for a lease, and acts.
A_LEASE_AND_MORE = int(LEASE / SLICE) + 2


@pytest.fixture
def world() -> Iterator[World]:
    project = Project()
    yield World(project, MemoryPlace())
    project.close()


def _carried(world: World) -> Execution:
    return world.deliver(world.broker[0], world.workers[0])


def _crash(world: World, execution: Execution) -> None:
    world.crash(execution)
    world.report_dead(execution.worker)


def _is_dropped(world: World, message: Message) -> bool:
    world.broker.append(message)
    return world.deliver(message, world.workers[1]) not in world.executions


def _record(world: World) -> Record:
    record = world.record
    assert record is not None
    return record


def test_crashes_without_progress_end_the_run(world: World) -> None:
    for _ in range(MAX_CRASHES):
        execution = _carried(world)
        assert execution.phase == "run"
        _crash(world, execution)
    assert _carried(world).phase == "give_up"
    settle(world)
    assert _record(world).outcome is Outcome.FAILED


def test_crashes_with_progress_do_not(world: World) -> None:
    for _ in range(ITEMS):
        execution = _carried(world)
        world.item(execution)
        world.flush(execution)
        _crash(world, execution)
    settle(world)
    assert _record(world).outcome is Outcome.COMPLETED


def test_a_execution_that_came_back_and_got_further_is_no_reason_to_give_up(world: World) -> None:
    execution = _carried(world)
    for _ in range(MAX_CRASHES):
        execution.worker.frozen = True
        world.pass_time(A_LEASE_AND_MORE, lost=True)
        world.recover(execution.worker)
        execution.phase = "publish"
        world.publish(execution, "refused")  # takes the run back from the rescuer
        assert execution.phase == "run"
    assert _record(world).crashes == MAX_CRASHES
    world.item(execution)
    world.flush(execution)
    world.leave(execution, "shutdown")
    world.publish(execution)
    assert _carried(world).phase == "run"


def test_a_returned_message_that_waits_long_does_not_run_twice(world: World) -> None:
    execution = _carried(world)
    world.leave(execution, "returned")
    world.publish(execution)
    world.pass_time(A_LEASE_AND_MORE)
    sent_again = world.broker.pop()
    settle(world)
    assert _record(world).outcome is Outcome.COMPLETED
    world.pass_time(1)
    assert _is_dropped(world, sent_again)  # else the world would notice a second start


def test_a_finished_run_is_admitted_even_where_queues_are_long(world: World) -> None:
    execution = _carried(world)
    for _ in range(ITEMS):
        world.item(execution)
    world.finish(execution)
    world.crash_worker(execution.worker)
    world.broker.clear()
    world.pass_time(A_LEASE_AND_MORE)
    for _ in range(5):
        world.place.shift(100 * LEASE)
        world.pass_time(1)
    assert len(world.broker) > 4
    assert _carried(world).phase == "finish"


# -- duplicate messages and stale executions
# ---------------------------------------------------------


def _interrupted(world: World) -> Execution:
    execution = _carried(world)
    world.leave(execution, "shutdown")
    world.publish(execution)
    return execution


def _rescued(world: World) -> Execution:
    """An execution that stands still, and whose run was rescued."""
    execution = _carried(world)
    execution.worker.frozen = True
    world.pass_time(A_LEASE_AND_MORE)
    return execution


@pytest.mark.parametrize("left", [_interrupted, _rescued])
def test_the_old_message_comes_back_before_the_new_one(
    world: World, left: Callable[[World], Execution]
) -> None:
    old = left(world).message
    assert _is_dropped(world, Message(old.generation, redelivered=True))
    settle(world)
    assert _record(world).outcome is Outcome.COMPLETED


def test_a_duplicate_comes_after_the_end(world: World) -> None:
    _interrupted(world)
    duplicate = Message(world.broker[0].generation)
    settle(world)
    world.pass_time(1)
    assert _is_dropped(world, duplicate)
    assert _is_dropped(world, Message(0, redelivered=True))


@pytest.mark.parametrize("what", ["flush", "leave", "finish"])
def test_a_execution_wakes_up_after_another_was_admitted(world: World, what: str) -> None:
    stale = _rescued(world)
    other = world.deliver(world.broker[0], world.workers[1])
    before = _record(world)
    world.recover(stale.worker)
    if what == "leave":
        world.leave(stale, "shutdown")
    else:
        getattr(world, what)(stale)
    assert world.executions == [other]
    assert _record(world) == before


@pytest.mark.parametrize("slices", range(5, 10))
def test_a_rescuer_that_could_read_takes_no_run_whose_owner_could_not_write(
    world: World, slices: int
) -> None:
    """A store without memory answers reads; whoever has a run cannot renew its lease meanwhile."""
    execution, other = _carried(world), world.workers[1]
    world.pass_time(A_LEASE_AND_MORE)
    world.refuses = True
    world.pass_time(slices)
    world.refuses = False
    for _ in range(2):
        world.look(other)
    assert _record(world).owner == execution.worker.name
    settle(world)
    assert _record(world).outcome is Outcome.COMPLETED
