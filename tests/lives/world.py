"""Workers, a broker and a store in one thread; their clocks are numbers.

Real are the table, the transitions, the rescuers and the store. The simulation does what an
execution and its worker's main process do with their answers, and counts every item.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from celery_graceful.errors import StoreUnavailable
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import Record
from celery_graceful.model.run.verdict import Decision, Verdict
from celery_graceful.runs.lost.rescue import Rescuer
from celery_graceful.runs.transition import Attempt
from tests.lives.cast import ITEMS, RUN, Execution, Message, Worker
from tests.lives.executions import Executions
from tests.lives.neighbours import add_neighbour
from tests.lives.pen import Pen
from tests.lives.places import Place
from tests.lives.project import LEASE, Project

#: How often rescuers look while time passes; every second time workers beat.
SLICE = LEASE / 6
#: So long may a worker be cut off or stand still without losing a lease, if it beat in time.
BLIND = 0.6 * LEASE


class World(Executions):
    """One run's life.

    Args:
        project: the app, shared by all lives of a test.
        place: an empty store.
        crasher: an item that kills whoever runs it, if any.
    """

    items = ITEMS

    def __init__(self, project: Project, place: Place, crasher: int | None = None) -> None:
        self.project = project
        self.place = place
        self.crasher = crasher
        self.clock = 0.0
        self.policy = project.runtime.policy
        self.broker = [Message(0)]
        self.executions: list[Execution] = []
        self.born = self.asked = 0
        self.workers = [self._born(), self._born()]
        self.latest: Execution | None = None
        self.use = -1
        self.published_uses = 1
        self.begin(0)
        #: The store answers nobody.
        self.away = False
        #: The store answers what is read, and refuses what is written.
        self.refuses = False
        #: Whether the record has vanished, and is missing still.
        self.vanished = self.missing = False
        #: Whether a message was lost: then nobody may know of a run whose record vanishes.
        self.lossy = False
        self.jumped = self.troubled = False
        #: How many other runs there are, none of which can be rescued.
        self.neighbours = 0
        self._meanwhile: Callable[[], object] | None = None
        project.sent()

    def _born(self) -> Worker:
        self.born += 1
        worker = Worker(f"w{self.born}", None)  # type: ignore[arg-type]
        store: Any = Pen(self, worker)
        worker.rescuer = Rescuer(self.project.runtime, store)
        return worker

    def begin(self, use: int) -> None:
        """The run begins, perhaps anew under the same id."""
        assert use > self.use, "started again after its end"
        self.use = use
        self.done: Counter[int] = Counter()
        #: How often the crashing item was tried.
        self.killed = 0
        #: Whether its failure is saved.
        self.failed = False
        #: The position of the last accepted checkpoint.
        self.saved = 0
        #: How often something happened after which items may run again.
        self.hurt = 0
        #: Whether an operator has deleted it.
        self.deleted = False

    @property
    def record(self) -> Record | None:
        return self.place.store.load(RUN).record

    def meanwhile(self, deed: Callable[[], object] | None) -> None:
        """Have ``deed`` happen between the next write's decision and the write."""
        self._meanwhile = deed

    def let_happen(self) -> None:
        deed, self._meanwhile = self._meanwhile, None
        if deed is not None:
            deed()

    # -- workers, operators and time ---------------------------------------------------------

    def crash_worker(self, worker: Worker) -> None:
        """All of a worker dies, and another is started in its place."""
        self.hurt += 1
        for execution in [execution for execution in self.executions if execution.worker is worker]:
            self.executions.remove(execution)
            self.broker.append(replace(execution.message, redelivered=True))
        self.workers[self.workers.index(worker)] = self._born()

    def report_dead(self, worker: Worker) -> None:
        """Tell the store of the first process that died; kept in doubt while it is away."""
        pen: Any = Pen(self, worker)
        try:
            Attempt(pen, RUN, worker.dead[0], self.policy)(None, False)
        except StoreUnavailable:
            return
        worker.dead.pop(0)

    def look(self, worker: Worker, *, lost: bool = False) -> None:
        """A rescuer looks; ``lost``: the broker loses what it sends."""
        try:
            worker.rescuer.look(self.clock)
        except StoreUnavailable:
            worker.rescuer.store_was_away()
        sent = self.project.sent()
        if lost and sent:
            self.lossy = True
        elif sent:
            # It was slower than a lease, and is overtaken.
            self.hurt += any(message.left is not None for message in self.broker)
            record = self.record
            checkpoint = None if record is None else record.checkpoint
            self.broker += [Message(g, use=self.use, checkpoint=checkpoint) for g in sent]

    def told(self, event: ev.Event, *, lost: bool = False) -> Decision:
        """An operator, who publishes if told to."""
        pen: Any = Pen(self, None)
        done = Attempt(pen, RUN, event, self.policy)(None, False)
        publish = done.decision.verdict is Verdict.PUBLISH
        if publish and lost:
            self.lossy = True
        elif publish and done.record is not None:
            record = done.record
            self.broker.append(Message(record.generation, False, self.use, record.checkpoint))
        return done.decision

    def use_again(self) -> None:
        """A fresh message under the same id; one at a time, else they cannot be told apart.

        Nor while a delivery of the last one still asks to be admitted.
        """
        asking = any(execution.phase == "ask" for execution in self.executions)
        if not asking and all(m.use <= self.use for m in self.broker):
            self.published_uses += 1
            self.broker.append(Message(0, use=self.published_uses))

    def pass_time(self, slices: int, *, lost: bool = False) -> None:
        """Time passes everywhere; workers that can do, beat and look."""
        for _ in range(slices):
            self.clock += SLICE
            self.place.shift(SLICE)
            for worker in list(self.workers):
                self._turn(worker, lost)

    def _turn(self, worker: Worker, lost: bool) -> None:
        executions = [execution for execution in self.executions if execution.worker is worker]
        if (self.away or self.refuses) and worker.frozen:
            self.hurt += 1  # it does not see the outage, nor that it gave others no chance to beat
        if worker.frozen or worker.cut:
            worker.blind_for += SLICE
            if worker.blind_for > BLIND and executions:
                self.hurt += 1
            worker.beat_next = True
        if worker.frozen:
            return
        silent = worker.cut or self.away or self.refuses
        if not silent and worker.beat_next and executions:
            self.place.store.renew(worker.name, [RUN], due_in=LEASE)
        worker.beat_next = not worker.beat_next or silent
        self.look(worker, lost=lost)

    def recover(self, worker: Worker) -> None:
        """It reaches the store again, or runs again, and beats at once."""
        worker.cut = worker.frozen = False
        worker.loses, worker.blind_for, worker.beat_next = 0, 0.0, False
        if any(execution.worker is worker for execution in self.executions) and not self.refuses:
            self.place.store.renew(worker.name, [RUN], due_in=LEASE)

    def damage_neighbour(self, message: bytes, summary: str | None) -> None:
        """Another run becomes overdue whose message, or whose record, nobody can read."""
        self.neighbours += 1
        store = self.place.store
        run = add_neighbour(store, f"neighbour-{self.neighbours}", message)
        if summary is not None:
            self.place.damage(run, summary)

    @property
    def may_vanish(self) -> bool:
        """Whether somebody would know of the run without its record."""
        record = self.record
        once = self.use == 1 and all(message.use == 1 for message in self.broker)
        known = self.broker or any(execution.record is not None for execution in self.executions)
        return once and bool(known) and record is not None and record.live

    def vanish(self) -> None:
        """The store loses the record, and nobody is told."""
        self.place.forget(RUN)
        self.vanished = self.missing = True

    def jump(self, seconds: float) -> None:
        """The store's clock is set, and nothing else."""
        self.place.shift(seconds)
        self.jumped = True
        if seconds > 0:
            self.hurt += 1  # every lease seems to be over until the next beat
