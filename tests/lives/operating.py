"""The verbs of operators that are made for the run as it was seen, in a life."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import Record, RunKey
from celery_graceful.model.run.verdict import Decision, Verdict
from celery_graceful.runs.transition import Attempt
from tests.lives.cast import RUN, Message
from tests.lives.pen import Pen

if TYPE_CHECKING:
    from tests.lives.world import World

VERBS = ("retry", "retry", "rewind", "adjust", "move", "evict", "replay", "fork", "delete")
FORK = RunKey("task", "fork")


def operate(world: World, verb: str, *, lost: bool = False) -> None:
    """Do it, and publish what it says; what was done by then, and may be done again, is counted."""
    record = world.record
    if record is None:
        return
    if verb == "fork":
        _fork(world, record)
        return
    event = _event(world, verb, record)
    pen: Any = Pen(world, None)
    pen.verb = verb
    done = Attempt(pen, RUN, event, world.policy)(None, False)
    if done.decision.record is None or done.record is None:
        return
    if verb == "delete":
        world.deleted = True
    elif verb in ("retry", "rewind", "evict"):
        _begin_again(world, int(done.record.checkpoint or 0), verb)
    if done.decision.verdict is Verdict.PUBLISH:
        _publish(world, done.decision, done.record, lost=lost)


def _event(world: World, verb: str, record: Record) -> ev.Event:
    message = world.project.envelope
    seen = record.generation
    if verb == "rewind":
        to = world.saved // 2
        return ev.Retry(seen, message, rewinds=True, checkpoint=str(to) if to else None)
    made: dict[str, ev.Event] = {
        "retry": ev.Retry(seen, message),
        "adjust": ev.Adjust(seen, '{"batch_size":5}', message),
        "move": ev.Adjust(seen, "", message, moves=True),
        "evict": ev.Evict(),
        "replay": ev.Replay(),
        "delete": ev.Forget(),
    }
    return made[verb]


def _begin_again(world: World, position: int, verb: str) -> None:
    """What lies behind the checkpoint runs again, on purpose; an owner from before may be at it."""
    again = [item for item in world.done if item >= position]
    if again or any(each.record is not None for each in world.executions):
        world.hurt += 1
    if verb == "evict":
        return
    world.troubled = True  # crashes are counted from 0 again
    world.failed = False
    for item in again:
        del world.done[item]


def _publish(world: World, decision: Decision, record: Record, *, lost: bool) -> None:
    if lost:
        world.lossy = True
    else:
        world.broker.append(Message(record.generation, False, world.use, record.checkpoint))


def _fork(world: World, record: Record) -> None:
    """A run of its own: it begins where this one is, and is cancelled; this one is as it was."""
    store, at = world.place.store, record.checkpoint
    if store.load(FORK).record is not None:
        return
    begun = ev.Enqueue(b"message", "", 1, checkpoint=at, steps=record.steps)
    done = Attempt(store, FORK, begun, world.policy)(None, True)
    assert done.record is not None
    assert (done.record.checkpoint, done.record.steps) == (at, record.steps)
    assert Attempt(store, FORK, ev.Cancel(), world.policy)(None, False).record is not None
    assert world.record == record
