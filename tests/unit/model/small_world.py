"""The pieces of the small world that test_exhaustive.py walks through."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from celery_graceful.model.run import events as ev
from celery_graceful.model.run.decide import decide
from celery_graceful.model.run.record import Record, State
from celery_graceful.model.run.verdict import Policy, Verdict

NOW, AHEAD = 1.0, 2.0
OWNER = "w"


class Message(NamedTuple):
    generation: int
    redelivered: bool
    #: Which use of the id it belongs to: known to the test, not to the protocol.
    use: int
    #: The checkpoint that travels with it, where records may vanish.
    travels: str = ""
    #: The fence of the execution that sent it while the store was away; 0: the store knows.
    left: int = 0


class Execution(NamedTuple):
    message: Message
    fence: int
    position: int
    use: int
    phase: str = "run"
    #: Whether it was admitted last.
    latest: bool = True
    #: The generation to publish, or why it was asked to stop.
    detail: str = ""
    #: The number of the record as it last saw it, where records may vanish.
    held: int = 0

    def settled(self) -> Execution:
        """The same without what no later move of it reads: fewer states, the same behaviour."""
        if self.phase == "dead":  # only its release is left, which names the generation
            of = Message(self.message.generation, False, 0)
            return Execution(of, 0, 0, 0, "dead", latest=False)
        if self.phase == "give_back":
            return Execution(self.message, 0, 0, 0, "give_back", latest=False)
        if self.phase in ("finish", "give_up"):
            return self._replace(position=0)
        return self


class World(NamedTuple):
    record: int
    messages: tuple[Message, ...]
    executions: tuple[Execution, ...]
    done: tuple[int, ...]
    faults: int
    stops: int
    verbs: int
    uses: int
    use: int = 0
    #: How often the record has vanished.
    vanished: int = 0

    def put(self, message: Message) -> World:
        if self.messages.count(message) > 1:  # a third adds states, not behaviour
            return self
        return self._replace(messages=tuple(sorted((*self.messages, message))))

    def take(self, message: Message) -> World:
        at = self.messages.index(message)
        return self._replace(messages=self.messages[:at] + self.messages[at + 1 :])

    def execution(self, old: Execution | None, new: Execution | None) -> World:
        executions = list(self.executions)
        if old is not None:
            executions.remove(old)
        if new is not None:
            if new.latest:
                executions = [g._replace(latest=False) if g.latest else g for g in executions]
            executions.append(new.settled())
        return self._replace(executions=tuple(sorted(executions)))


class Move(NamedTuple):
    label: str
    world: World
    #: Whether it needs neither a fault nor anybody's will: such moves alone must end the run.
    free: bool = True
    wrong: str = ""


@dataclass
class Book:
    """The records met so far by number (0: none), and what was decided about them."""

    policy: Policy
    records: list[Record | None] = field(default_factory=lambda: [None])
    numbers: dict[Record, int] = field(default_factory=dict)
    decided: dict[tuple[int, ev.Event], tuple[Verdict, int]] = field(default_factory=dict)
    flushed: dict[tuple[int, int, int], int] = field(default_factory=dict)
    overdue: dict[int, int] = field(default_factory=dict)

    def number(self, record: Record, due_in: float | None) -> int:
        """File a record without what no rule reads, or what only doubles a wait."""
        due = None if due_in is None else (AHEAD if due_in > 0 else NOW)
        plain = replace(
            record,
            due_at=due,
            execution_steps=0,
            resumptions=0,
            republished=0,
            reason="",
            version=0,
        )
        if not self.policy.max_crashes:
            plain = replace(plain, crashes=0, crash_steps=-1)
        if plain not in self.numbers:
            self.numbers[plain] = len(self.records)
            self.records.append(plain)
        return self.numbers[plain]

    def ask(self, number: int, event: ev.Event) -> tuple[Verdict, int]:
        known = self.decided.get((number, event))
        if known is None:
            before = self.records[number]
            d = decide(before, event, NOW, self.policy)
            after = number if d.record is None else self.number(d.record, d.due_in)
            if before is not None and d.record is not None:
                assert d.record.fence >= before.fence
                assert d.verdict is Verdict.START or d.record.generation >= before.generation
            if d.verdict is Verdict.GIVE_UP and d.record is not None:
                assert d.record.steps <= d.record.crash_steps, "gave up a run that got further"
            known = self.decided[number, event] = d.verdict, after
        return known

    def flush(self, number: int, execution: Execution) -> int | None:
        """What a store does with a checkpoint."""
        r = self.records[number]
        if r is None or r.state is not State.RUNNING or r.fence != execution.fence:
            return None
        key = number, execution.fence, execution.position
        if key not in self.flushed:
            saved = replace(r, checkpoint=str(execution.position), steps=execution.position)
            self.flushed[key] = self.number(saved, 1.0)
        return self.flushed[key]

    def late(self, number: int, record: Record) -> int:
        if number not in self.overdue:
            self.overdue[number] = self.number(record, 0.0)
        return self.overdue[number]
