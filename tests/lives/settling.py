"""What becomes of a run once nothing disturbs it any more."""

from __future__ import annotations

from celery_graceful.model import events as ev
from celery_graceful.model.record import Outcome, Record, State
from tests.lives.project import LEASE, MAX_CRASHES
from tests.lives.world import ITEMS, RUN, SLICE, Leg, World

__all__ = ["settle", "step"]

#: More would mean that the run never ends.
ROUNDS = 40
#: The longest that may have to pass at once: the last of the doubled waits, and an hour.
LONGEST = 64 * LEASE + 4 * 3600.0


def step(world: World, leg: Leg) -> None:
    """What a leg does next when nothing disturbs it."""
    if leg.attempt is not None:
        world.ask_again(leg)
    elif leg.phase in ("publish", "give_back"):
        world.publish(leg)
    elif leg.phase in ("finish", "give_up"):
        world.end(leg)
    elif leg.phase == "told":
        world.leave(leg, leg.why)
    elif leg.position == ITEMS:
        world.finish(leg)
    elif world.may_work(leg):
        world.item(leg)
        if leg in world.legs:
            world.flush(leg)
    else:
        world.flush(leg)


def settle(world: World) -> None:
    """Without further harm the run has to end, and soon."""
    world.away = world.refuses = False
    for worker in world.workers:
        world.recover(worker)
    for _ in range(ROUNDS):
        _work_off(world)
        record = world.record
        if record is not None and not record.live:
            _check_poison(world)
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
        for leg in list(world.legs):
            if leg in world.legs:
                step(world, leg)
        if world.broker:
            world.deliver(world.broker[0], world.workers[0])
        if not (world.broker or world.legs or any(w.dead for w in world.workers)):
            return
    raise AssertionError(f"messages and legs without an end: {world.broker} {world.legs}")


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


def _check_poison(world: World) -> None:
    record = world.record
    assert record is not None
    if world.killed and world.hurt == world.killed and not world.troubled:
        assert world.killed <= MAX_CRASHES + 1, "a poisonous item was tried too often"
        assert record.outcome is not Outcome.COMPLETED
