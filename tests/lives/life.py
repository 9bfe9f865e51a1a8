"""Random lives of a run: stops, crashes, stalls, outages, wrong clocks, operators, in any order."""

# mypy: disallow-untyped-decorators=False
from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import Outcome, State
from tests.lives.cast import ITEMS, Execution
from tests.lives.neighbours import MESSAGES, SUMMARIES
from tests.lives.operating import VERBS, operate
from tests.lives.places import Place
from tests.lives.project import LEASE, Project
from tests.lives.settling import settle, step
from tests.lives.world import World

PICK = st.integers(0, 7)
MEANWHILE = st.sampled_from(["", "", "", "look", "deliver", "cancel", "pause", "time", "long"])
HOUR = 3600.0
WITHOUT_STORE = ("sent", "sent", "twice", "lost", "died")
LEAVE = st.sampled_from(["", "shutdown", "shutdown", "returned", "retry"])


class Life(RuleBasedStateMachine):
    """Subclasses say where: they give ``project``, and make a place for each life."""

    project: Project

    def place(self) -> Place:
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.project, self.place())
        self.rough = self.operated = self.vanishing = False

    @initialize(
        rough=st.sampled_from([True, True, False]),
        operated=st.booleans(),
        vanishing=st.booleans(),
        crasher=st.sampled_from([None, None, None, 3]),
        what=MEANWHILE,
    )
    def kind_of_life(
        self, rough: bool, operated: bool, vanishing: bool, crasher: int | None, what: str
    ) -> None:
        # Harm everywhere would leave the promises of a calm life untested.
        self.rough, self.operated, self.vanishing = rough, operated, vanishing
        self.world.crasher = crasher if rough else None
        self._meanwhile(what)
        self.world.deliver(self.world.broker[0], self.world.workers[0])

    def _executions(self, *phases: str) -> list[Execution]:
        executions = [execution for execution in self.world.executions if execution.free]
        return (
            [execution for execution in executions if execution.phase in phases]
            if phases
            else executions
        )

    def _meanwhile(self, what: str) -> None:
        world = self.world

        def deed() -> None:
            if what == "look":
                world.look(world.workers[1])
            elif what == "deliver" and world.broker and not world.workers[1].frozen:
                world.deliver(world.broker[0], world.workers[1])
            elif what == "time":
                world.pass_time(1)
            elif what == "long" and self.rough:
                world.hurt += 1  # whoever is about to write stands still
                world.pass_time(8)
            elif what in ("cancel", "pause") and self.operated and world.record is not None:
                world.told(ev.Cancel() if what == "cancel" else ev.Pause())

        self.world.meanwhile(deed if what else None)

    # -- the ordinary course -----------------------------------------------------------------

    @rule(pick=PICK, steps=st.integers(1, 3), what=MEANWHILE)
    def work(self, pick: int, steps: int, what: str) -> None:
        """An execution continues undisturbed; without one, a message is delivered."""
        executions = self._executions()
        if not executions:
            self._deliver(pick, what)
            return
        self._meanwhile(what)
        self._steps(executions[pick % len(executions)], steps)

    def _steps(self, execution: Execution, steps: int) -> None:
        for _ in range(steps):
            if execution in self.world.executions and execution.free:
                step(self.world, execution)

    @precondition(lambda self: self.world.broker and len(self.world.executions) < 4)
    @rule(pick=PICK, what=MEANWHILE)
    def deliver(self, pick: int, what: str) -> None:
        self._deliver(pick, what)

    def _deliver(self, pick: int, what: str) -> None:
        workers = [worker for worker in self.world.workers if not worker.frozen]
        broker = self.world.broker
        if workers and broker:
            self._meanwhile(what)
            self.world.deliver(broker[pick % len(broker)], workers[pick % len(workers)])

    @precondition(lambda self: self._executions("run"))
    @rule(pick=PICK, items=st.integers(0, 3), how=LEAVE, what=MEANWHILE)
    def leave(self, pick: int, items: int, how: str, what: str) -> None:
        """Items that are not saved by themselves, then perhaps a way out."""
        world, executions = self.world, self._executions("run")
        execution = executions[-1 - pick % len(executions)]
        for _ in range(min(items, ITEMS - execution.position)):
            if execution in self._executions("run") and world.may_work(execution):
                world.item(execution)
        if how and execution in self._executions("run"):
            self._meanwhile(what)
            world.leave(execution, how)

    @precondition(lambda self: self._executions("run"))
    @rule(pick=PICK, items=st.integers(0, 3), how=st.sampled_from(WITHOUT_STORE))
    def leave_without_the_store(self, pick: int, items: int, how: str) -> None:
        """As it sees things: for others the store may be there all the time."""
        world, executions = self.world, self._executions("run")
        execution = executions[-1 - pick % len(executions)]
        for _ in range(min(items, ITEMS - execution.position)):
            if execution in self._executions("run") and world.may_work(execution):
                world.item(execution)
        if execution in self._executions("run"):
            world.leave_without_store(execution, how if self.rough else "sent")

    @precondition(lambda self: self.rough and self._executions("publish"))
    @rule(how=st.sampled_from(["lost", "twice", "refused"]), what=MEANWHILE)
    def publish(self, how: str, what: str) -> None:
        self._meanwhile(what)
        self.world.publish(self._executions("publish")[0], how)

    @precondition(
        lambda self: any(execution.attempt for execution in self._executions("ask", "write"))
    )
    @rule()
    def give_up_asking(self) -> None:
        execution = self._executions("ask", "write")[0]
        if self.world.clock > execution.since + LEASE:
            self.world.give_up_asking(execution)

    # -- time --------------------------------------------------------------------------------

    @rule(slices=st.integers(1, 12), lost=st.booleans())
    def time_passes(self, slices: int, lost: bool) -> None:
        self.world.pass_time(slices, lost=lost and self.rough)

    @rule(pick=PICK, times=st.integers(1, 3), skew=st.sampled_from([-HOUR, HOUR, 0.0]))
    def look(self, pick: int, times: int, skew: float) -> None:
        """A rescuer looks, on a host whose clock is wrong."""
        worker = self.world.workers[pick % 2]
        worker.skew = skew
        for _ in range(times):
            if not worker.frozen:
                self.world.look(worker)

    # -- what goes wrong ---------------------------------------------------------------------

    @precondition(lambda self: self.rough)
    @rule(pick=PICK, how=st.sampled_from(["child dies", "worker dies", "frozen", "cut", "away"]))
    def a_worker_is_disturbed(self, pick: int, how: str) -> None:
        world, worker = self.world, self.world.workers[pick % 2]
        if how == "child dies" and world.executions:
            world.crash(world.executions[pick % len(world.executions)])
        elif how == "worker dies":
            world.crash_worker(worker)
        elif how in ("frozen", "cut"):
            world.troubled = True
            setattr(worker, how, True)
        elif how == "away":
            world.away = world.troubled = True

    @precondition(lambda self: self.rough and self._executions("run") and not self.world.away)
    @rule(
        how=st.sampled_from(["frozen", "cut", "away", "away", "clock"]),
        slices=st.integers(4, 14),
        before=st.integers(0, 2),
        steps=st.integers(0, 3),
        pick=PICK,
    )
    def a_runner_is_taken_for_lost(
        self, how: str, slices: int, before: int, steps: int, pick: int
    ) -> None:
        """What seldom comes about by itself: another has its run when it goes on."""
        world, execution = self.world, self._executions("run")[-1]
        worker = execution.worker
        other = next(one for one in world.workers if one is not worker)
        for _ in range(min(before, ITEMS - execution.position)):
            if execution in self._executions("run") and world.may_work(execution):
                world.item(execution)
        world.recover(other)
        if how == "clock":
            world.jump(HOUR)
        else:
            world.troubled = True
            setattr(world if how == "away" else worker, how, True)
            world.pass_time(slices)
        world.away = False
        for _ in range(2):
            world.look(other)
        if world.broker:
            self._steps(world.deliver(world.broker[-1], other), steps)
        if pick % 2 and how in ("frozen", "cut"):
            world.recover(worker)
        self._steps(execution, steps)

    @precondition(lambda self: self.rough and self._executions("run"))
    @rule(pick=PICK, what=MEANWHILE)
    def an_item_raises_no_exception(self, pick: int, what: str) -> None:
        """``sys.exit()``, say: neither a stop nor a crash."""
        executions = self._executions("run")
        self._meanwhile(what)
        self.world.exit(executions[pick % len(executions)])

    @rule(pick=PICK, how=st.sampled_from(["tell", "recover", "back"]))
    def something_recovers(self, pick: int, how: str) -> None:
        world, worker = self.world, self.world.workers[pick % 2]
        if how == "tell" and worker.dead and not worker.frozen:
            world.report_dead(worker)
        elif how == "recover" and (worker.cut or worker.frozen) and not world.away:
            world.recover(worker)
        elif how == "back":
            world.away = world.refuses = False

    @precondition(lambda self: self.rough)
    @rule(pick=PICK, how=st.sampled_from(["clock", "clock", "answer", "answer", "refuses"]))
    def the_store_does_harm(self, pick: int, how: str) -> None:
        if how == "clock":
            self.world.jump(HOUR if pick % 2 else -HOUR)
        elif how == "refuses":
            self.world.refuses = self.world.troubled = True
        else:
            self.world.workers[pick % 2].loses += 1

    @precondition(lambda self: self.rough)
    @rule(pick=PICK, how=st.sampled_from(["again", "purged", "twice"]))
    def the_broker_does_harm(self, pick: int, how: str) -> None:
        world, broker = self.world, self.world.broker
        if how == "again" and world.executions and len(broker) < 4:
            message = world.executions[pick % len(world.executions)].message
            broker.append(replace(message, redelivered=True))
        elif how == "purged" and all(m.use <= world.use for m in broker):
            # A message that nobody has admitted yet is the broker's: only a known run's are lost.
            # The checkpoint of an execution that left without the store is in its message alone.
            world.hurt += any(message.left is not None for message in broker)
            broker.clear()
            world.lossy = True
        elif how == "twice" and len(broker) < 4:
            # A second fresh message cannot be told from a re-used id: generation 0 is left out.
            broker += [replace(m, redelivered=True) for m in broker if m.generation][:1]

    @precondition(lambda self: self.vanishing and self.world.may_vanish)
    @rule()
    def the_record_vanishes(self) -> None:
        self.world.vanish()

    @precondition(lambda self: self.world.neighbours < 3)
    @rule(
        message=st.sampled_from(list(MESSAGES.values())),
        summary=st.sampled_from([None, *SUMMARIES.values()]),
    )
    def a_neighbour_is_damaged(self, message: bytes, summary: str | None) -> None:
        """In a calm life too: it is none of this run's business."""
        self.world.damage_neighbour(message, summary)

    # -- operators ---------------------------------------------------------------------------

    @precondition(lambda self: self.operated and self.world.record is not None)
    @rule(
        event=st.sampled_from([ev.Cancel(), ev.Pause(), ev.Resume(), ev.Resume(), ev.Resend()]),
        lost=st.booleans(),
        what=st.sampled_from(["", "look", "deliver"]),
    )
    def operate(self, event: ev.Event, lost: bool, what: str) -> None:
        self._meanwhile(what)
        self.world.told(event, lost=lost)

    @precondition(lambda self: self.operated and self.world.record is not None)
    @rule(
        verb=st.sampled_from(VERBS),
        lost=st.booleans(),
        what=st.sampled_from(["", "look", "deliver"]),
    )
    def operate_as_seen(self, verb: str, lost: bool, what: str) -> None:
        """The verbs that are made for the run as it was seen."""
        # A message that is older than a rewind has the later checkpoint, if all else is lost.
        if not (self.vanishing and verb == "rewind"):
            self._meanwhile(what)
            operate(self.world, verb, lost=lost)

    @precondition(
        lambda self: (
            self.operated and self.world.latest in self._executions("run", "told", "finish")
        )
    )
    @rule()
    def kill(self) -> None:
        assert self.world.latest is not None
        record = self.world.record
        generation = self.world.latest.message.generation if record is None else None
        self.world.told(ev.Kill(Outcome.FAILED, "hard time limit", generation))
        self.world.executions.remove(self.world.latest)

    @precondition(lambda self: self.world.record is not None and not self.world.record.live)
    @rule()
    def use_the_id_again(self) -> None:
        self.world.use_again()

    # -- promises (see also Pen, which judges every write) -----------------------------------

    @invariant()
    def one_runner(self) -> None:
        record = self.world.record
        if record is None or record.owner is None:
            return
        if record.state in (State.RUNNING, State.FINISHING):
            executions = self.world.executions
            by_right = [
                execution
                for execution in executions
                if execution.record and execution.fence == record.fence
            ]
            assert len([execution for execution in by_right if execution.carries]) <= 1

    @invariant()
    def one_that_thinks_so(self) -> None:
        """While nobody sets the store's clock, a lease is a lease."""
        world = self.world
        if world.jumped or world.vanished or self.operated or world.use > 1:
            return
        sure = [g for g in world.executions if g.phase == "run" and world.clock < g.lease_until]
        assert len(sure) <= 1, sure

    @invariant()
    def the_record_makes_sense(self) -> None:
        record = self.world.record
        if record is not None:
            rests = record.state in (State.PAUSED, State.ENDED)
            assert (record.due_at is None) == rests
            if record.outcome is Outcome.COMPLETED and not record.live:
                assert record.envelope == b""
            elif record.live:  # and one that failed or was cancelled, if it was known
                assert record.envelope != b""
            assert (record.owner is None) or record.state in (State.RUNNING, State.FINISHING)

    def teardown(self) -> None:
        settle(self.world)
