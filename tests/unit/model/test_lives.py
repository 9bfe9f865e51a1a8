"""Lives of a run that once went wrong, or must be reachable, told step by step."""

from __future__ import annotations

from celery_graceful.model import events as ev
from celery_graceful.model.record import Outcome
from tests.unit.model.simulation import ITEMS, LEASE, POLICY, Leg, Simulation


def _carried_by(sim: Simulation, owner: str = "w0") -> Leg:
    leg = sim.deliver(sim.broker[0], owner)
    assert leg is not None
    return leg


def _outcome(sim: Simulation) -> Outcome | None:
    assert sim.record is not None
    return sim.record.outcome


def test_crashes_without_progress_end_the_run() -> None:
    sim = Simulation()
    for _ in range(POLICY.max_crashes):
        leg = _carried_by(sim)
        assert leg.phase == "run"
        sim.crash(leg, seen=True)
        sim.report_dead()
    assert _carried_by(sim).phase == "give_up"
    sim.settle()
    assert _outcome(sim) is Outcome.FAILED


def test_crashes_with_progress_do_not() -> None:
    sim = Simulation()
    for _ in range(ITEMS):
        leg = _carried_by(sim)
        sim.item(leg)
        sim.flush(leg)
        sim.crash(leg, seen=True)
        sim.report_dead()
    sim.settle()
    assert _outcome(sim) is Outcome.COMPLETED


def test_a_leg_that_came_back_and_got_further_is_no_reason_to_give_up() -> None:
    sim = Simulation()
    leg = _carried_by(sim)
    for _ in range(POLICY.max_crashes):
        sim.leave(leg, "shutdown")
        sim.publish(leg, "refused")
        sim.pass_time(1.1, beating=False)
        sim.told(ev.Rescue(), lost=True)
        decision, record = sim.apply(ev.Reclaim(leg.fence, leg.owner), leg)
        assert record is not None, decision.why
        leg.fence = record.fence
    assert sim.record is not None
    assert sim.record.crashes == POLICY.max_crashes
    sim.item(leg)
    sim.flush(leg)
    sim.leave(leg, "shutdown")
    sim.publish(leg)
    assert _carried_by(sim, "w1").phase == "run"


def test_a_returned_message_that_waits_long_does_not_run_twice() -> None:
    sim = Simulation()
    leg = _carried_by(sim)
    sim.leave(leg, "returned")
    sim.publish(leg)
    sim.pass_time(2.0)
    sim.told(ev.Rescue())
    assert len(sim.broker) == 2
    sim.settle()  # Simulation would notice a second start
    assert _outcome(sim) is Outcome.COMPLETED


def test_a_finished_run_is_admitted_even_where_queues_are_long() -> None:
    sim = Simulation()
    leg = _carried_by(sim)
    for _ in range(ITEMS):
        sim.item(leg)
    sim.finish(leg)
    sim.crash(leg, seen=False)
    sim.broker.clear()
    for _ in range(5):
        sim.now += 100 * LEASE
        sim.told(ev.Rescue())
    oldest = sim.broker[0]
    taken = sim.deliver(oldest, "w1")
    assert taken is not None
    assert taken.phase == "finish"
