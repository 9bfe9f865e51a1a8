"""Random lives of a run: stops, crashes, stalls, duplicates, operators, in any order.

The table decides, the store in memory compares and sets, and the simulation counts every item.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from celery_graceful.model import events as ev
from celery_graceful.model.record import Outcome, State
from tests.unit.model.simulation import ITEMS, Leg, Message, Simulation

PICK = st.integers(0, 7)
OWNERS = st.sampled_from(["w0", "w1"])
MEANWHILE = st.sampled_from(["", "", "", "rescue", "deliver", "cancel", "pause", "beat"])


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.sim = Simulation()
        self.rough = self.operated = False

    @initialize(rough=st.booleans(), operated=st.booleans())
    def kind_of_life(self, rough: bool, operated: bool) -> None:
        # Harm everywhere would leave the promises of a calm life untested.
        self.rough, self.operated = rough, operated

    def _legs(self, *phases: str) -> list[Leg]:
        return [leg for leg in self.sim.legs if leg.phase in phases]

    def _overdue(self) -> bool:
        record = self.sim.record
        return record is not None and record.due_at is not None and record.due_at <= self.sim.now

    def _waits(self) -> bool:
        """Whether the record waits for a message, or for a rescuer."""
        record = self.sim.record
        waits = record is not None and record.due_at is not None and not self._overdue()
        return waits and not any(leg.carries for leg in self.sim.legs)

    def _a_leg(self, pick: int, *phases: str) -> Leg:
        """A leg in one of the phases, the one admitted last most often."""
        legs = self._legs(*phases)
        return legs[-1 - pick % len(legs)] if pick < 3 else legs[-1]

    def _meanwhile(self, what: str) -> Callable[[], object] | None:
        sim = self.sim

        def deed() -> None:
            if what == "rescue":
                sim.told(ev.Rescue())
            elif what == "deliver" and sim.broker:
                sim.deliver(sim.broker[0], "w1")
            elif what == "beat":
                sim.pass_time(0.5)
            elif what in ("cancel", "pause") and self.operated:
                sim.told(ev.Cancel() if what == "cancel" else ev.Pause())

        return deed if what else None

    # -- the ordinary course -----------------------------------------------------------------

    @precondition(lambda self: self.sim.broker and len(self.sim.legs) < 4)
    @rule(pick=PICK, owner=OWNERS, what=st.sampled_from(["", "", "rescue", "beat"]))
    def deliver(self, pick: int, owner: str, what: str) -> None:
        broker = self.sim.broker
        self.sim.deliver(broker[pick % len(broker)], owner, self._meanwhile(what))

    @precondition(lambda self: self._legs("run"))
    @rule(pick=PICK, count=st.integers(1, 3))
    def items(self, pick: int, count: int) -> None:
        leg = self._a_leg(pick, "run")
        for _ in range(min(count, ITEMS - leg.position)):
            self.sim.item(leg)

    @precondition(lambda self: any(g.position > ITEMS - 2 for g in self._legs("run")))
    @rule()
    def run_to_the_end(self) -> None:
        leg = next(g for g in self._legs("run") if g.position > ITEMS - 2)
        while leg in self._legs("run"):
            self.sim.step(leg)

    @precondition(lambda self: self._legs("run"))
    @rule(pick=PICK)
    def flush(self, pick: int) -> None:
        self.sim.flush(self._a_leg(pick, "run"))

    @precondition(lambda self: self._legs("run"))
    @rule(pick=PICK, why=st.sampled_from(["shutdown", "returned", "retry"]), what=MEANWHILE)
    def stop(self, pick: int, why: str, what: str) -> None:
        self.sim.leave(self._a_leg(pick, "run"), why, self._meanwhile(what))

    @precondition(lambda self: self._legs("told"))
    @rule(pick=PICK, what=MEANWHILE)
    def obey(self, pick: int, what: str) -> None:
        leg = self._a_leg(pick, "told")
        self.sim.leave(leg, leg.why, self._meanwhile(what))

    @precondition(lambda self: self._legs("publish"))
    @rule(pick=PICK, how=st.sampled_from(["sent", "sent", "lost", "twice", "refused"]))
    def publish(self, pick: int, how: str) -> None:
        self.sim.publish(self._a_leg(pick, "publish"), how if self.rough else "sent")

    @precondition(lambda self: self._legs("give_back"))
    @rule(pick=PICK)
    def give_back(self, pick: int) -> None:
        self.sim.publish(self._a_leg(pick, "give_back"))

    @precondition(lambda self: any(g.position == ITEMS for g in self._legs("run")))
    @rule(what=MEANWHILE)
    def finish(self, what: str) -> None:
        leg = next(g for g in self._legs("run") if g.position == ITEMS)
        self.sim.finish(leg, self._meanwhile(what))

    @precondition(lambda self: self._legs("finish", "give_up"))
    @rule(pick=PICK, what=MEANWHILE)
    def end(self, pick: int, what: str) -> None:
        self.sim.end(self._a_leg(pick, "finish", "give_up"), self._meanwhile(what))

    # -- what goes wrong ---------------------------------------------------------------------

    @precondition(lambda self: self.rough and self.sim.legs)
    @rule(pick=PICK, seen=st.booleans())
    def crash(self, pick: int, seen: bool) -> None:
        self.sim.crash(self.sim.legs[pick % len(self.sim.legs)], seen=seen)

    @precondition(lambda self: self.sim.dead)
    @rule()
    def report_dead(self) -> None:
        self.sim.report_dead()

    @precondition(lambda self: self.rough and self.sim.legs)
    @rule()
    def stall(self) -> None:
        self.sim.pass_time(1.1, beating=False)

    @precondition(lambda self: self._waits())
    @rule(leases=st.sampled_from([1.5, 5.0]))
    def wait(self, leases: float) -> None:
        self.sim.pass_time(leases)

    @precondition(lambda self: self.rough and self.sim.legs and len(self.sim.broker) < 4)
    @rule(pick=PICK)
    def redeliver(self, pick: int) -> None:
        message = self.sim.legs[pick % len(self.sim.legs)].message
        self.sim.broker.append(Message(message.generation, True, message.use))

    @precondition(lambda self: self.rough and all(m.use == self.sim.use for m in self.sim.broker))
    @rule()
    def purge(self) -> None:
        # A message that nobody has admitted yet is the broker's: only a known run's are lost.
        self.sim.broker.clear()

    @precondition(lambda self: self.rough and any(m.generation for m in self.sim.broker))
    @rule()
    def duplicate(self) -> None:
        # A second fresh message cannot be told from a re-used id: generation 0 is left out.
        message = next(m for m in self.sim.broker if m.generation)
        self.sim.broker.append(Message(message.generation, message.redelivered, message.use))

    # -- bystanders --------------------------------------------------------------------------

    @precondition(lambda self: self._overdue())
    @rule(lost=st.booleans(), what=st.sampled_from(["", "", "deliver", "beat"]))
    def rescue(self, lost: bool, what: str) -> None:
        self.sim.told(ev.Rescue(), lost=lost and self.rough, meanwhile=self._meanwhile(what))

    @precondition(lambda self: self.operated and self.sim.record is not None)
    @rule(
        event=st.sampled_from([ev.Cancel(), ev.Pause(), ev.Resume(), ev.Resume(), ev.Retry()]),
        lost=st.booleans(),
        what=st.sampled_from(["", "rescue", "deliver"]),
    )
    def operate(self, event: ev.Event, lost: bool, what: str) -> None:
        self.sim.told(event, lost=lost, meanwhile=self._meanwhile(what))

    @precondition(
        lambda self: self.operated and self.sim.latest in self._legs("run", "told", "finish")
    )
    @rule()
    def kill(self) -> None:
        assert self.sim.latest is not None
        self.sim.told(ev.Kill(Outcome.FAILED, "hard time limit"))
        self.sim.legs.remove(self.sim.latest)

    @precondition(lambda self: self.sim.record is not None and not self.sim.record.live)
    @rule()
    def use_the_id_again(self) -> None:
        self.sim.use_again()

    # -- promises (see also Simulation, which checks every write) ----------------------------

    @invariant()
    def one_runner(self) -> None:
        record = self.sim.record
        if record is None or not record.leased(self.sim.now):
            return
        if record.state in (State.RUNNING, State.FINISHING):
            by_right = [g for g in self.sim.legs if g.carries and g.fence == record.fence]
            assert len(by_right) <= 1

    @invariant()
    def the_record_makes_sense(self) -> None:
        record = self.sim.record
        if record is not None:
            rests = record.state in (State.PAUSED, State.ENDED)
            assert (record.due_at is None) == rests
            assert (record.envelope == b"") == (not record.live)
            assert (record.owner is None) or record.state in (State.RUNNING, State.FINISHING)

    def teardown(self) -> None:
        self.sim.settle()


Life.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestLife = Life.TestCase
