"""What becomes of a run once nothing disturbs it any more."""

from __future__ import annotations

from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import Outcome, Record, State
from tests.lives.cast import ITEMS, RUN, Execution
from tests.lives.project import LEASE, MAX_CRASHES
from tests.lives.world import SLICE, World

#: More would mean that the run never ends.
ROUNDS = 40
#: The longest that may have to pass at once: the last of the doubled waits, and an hour.
LONGEST = 64 * LEASE + 4 * 3600.0


def step(world: World, execution: Execution) -> None:
    """What an execution does next when nothing disturbs it."""
    if execution.attempt is not None:
        world.ask_again(execution)
    elif execution.phase in ("publish", "give_back"):
        world.publish(execution)
    elif execution.phase in ("finish", "give_up"):
        world.end(execution)
    elif execution.phase == "told":
        world.leave(execution, execution.why)
    elif execution.position == ITEMS:
        world.finish(execution)
    elif world.may_work(execution):
        world.item(execution)
        if execution in world.executions:
            world.flush(execution)
    else:
        world.flush(execution)


def settle(world: World) -> None:
    """Without further harm the run has to end, and soon."""
    world.away = world.refuses = False
    for worker in world.workers:
        world.recover(worker)
    for _ in range(ROUNDS):
        _work_off(world)
        record = world.record
        if record is not None and not record.live:
            _check_crasher(world)
            return
        if record is None and world.deleted:
            return
        if record is None and world.missing:
            assert world.lossy, "its owner or its message knew of it"
            return
        _wait(world, record)
    raise AssertionError(f"no way forward: {world.record}")


def _work_off(world: World) -> None:
    for _ in range(200):
        for worker in world.workers:
            while worker.dead:
                world.report_dead(worker)
        for execution in list(world.executions):
            if execution in world.executions:
                step(world, execution)
        if world.broker:
            world.deliver(world.broker[0], world.workers[0])
        if not (world.broker or world.executions or any(w.dead for w in world.workers)):
            return
    raise AssertionError(
        f"messages and executions without an end: {world.broker} {world.executions}"
    )


def _wait(world: World, record: Record | None) -> None:
    if record is not None and record.state is State.PAUSED:
        world.told(ev.Resume())
    elif record is not None and record.due_at is not None:
        left = max(0.0, record.due_at - world.place.store.load(RUN).now)
        assert left <= LONGEST, f"it waits for {left} s: {record}"
        world.clock += left
        world.place.shift(left)
        world.pass_time(3)
        # Rescuers that met an outage wait for a healthy lease.
        if not world.broker:
            world.pass_time(int(LEASE / SLICE) + 2)


def _check_crasher(world: World) -> None:
    record = world.record
    assert record is not None
    if world.killed and world.hurt == world.killed and not world.troubled:
        assert world.killed <= MAX_CRASHES + 1, "an item that crashes was tried too often"
        assert record.outcome is not Outcome.COMPLETED
