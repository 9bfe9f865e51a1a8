"""Operators against operators, workers and rescuers: every verb in every state, in any order.

What is asked of a run passes the real code and a real store; a rival's whole deed may happen
between its look at the record and its write. Whatever the order, each has one outcome.
"""

# mypy: disallow-untyped-decorators=False
from __future__ import annotations

import copy
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from celery_graceful.errors import RunRefused
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.cursor import Checkpoint, decode, encode
from celery_graceful.model.run.history import Action, actions
from celery_graceful.model.run.record import Outcome, Record, RunKey, State
from celery_graceful.model.run.verbs import VERBS, Case, Verb, case_of, public_state
from celery_graceful.model.run.verdict import Verdict
from celery_graceful.runs.lookup import Found
from celery_graceful.runs.observers import Observed
from celery_graceful.runs.operating.changes import Asked
from celery_graceful.runs.operating.doing import do
from celery_graceful.runs.quarantined_items import ENVELOPE, envelope_entry
from celery_graceful.runs.transition import Transition, transition
from celery_graceful.runtime import Runtime
from celery_graceful.stores.base import Flushed, Store, Swapped
from tests.lives.places import Place
from tests.lives.project import LEASE, Project

RUN = RunKey("shop.import", "raced")
#: An item in quarantine.
ITEM = json.dumps(
    {"before": encode(Checkpoint(1)), "cursor": encode(Checkpoint(2)), "item": "'row'"}
    | {"error": "ValueError()", "traceback": "", "at": 1.0}
)
ARGUMENTS: dict[Verb, dict[str, Any]] = {
    Verb.REWIND: {"cursor": 1},
    Verb.ADJUST: {"batch_size": 7, "queue": "lives"},
}
ASKED = tuple(Verb)
#: What others do: a worker that owns the run or did so once, a rescuer, another operator.
RIVALS = ("admit", "save", "hand over", "retry", "finish", "end", "rescue", "release", *ASKED)
RIVAL = st.sampled_from(["", "", *RIVALS])


_ADMITTED = (Verdict.START, Verdict.RESUME, Verdict.RETURN_SAVED, Verdict.GIVE_UP)


class Interleaved:
    """A store, where a rival's deed comes between a look and the write that follows."""

    def __init__(self, store: Store, deed: Callable[[], object] | None) -> None:
        self._store, self._deed = store, deed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def swap(self, *args: Any, **times: Any) -> Swapped:
        self._let_happen()
        return self._store.swap(*args, **times)

    def checkpoint(self, *args: Any, **times: Any) -> Flushed:
        self._let_happen()
        return self._store.checkpoint(*args, **times)

    def _let_happen(self) -> None:
        deed, self._deed = self._deed, None
        if deed is not None:
            deed()


class Races(RuleBasedStateMachine):
    """Subclasses say where: they give ``project``, and make a place for each life."""

    project: Project

    def place(self) -> Place:
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.where = self.place()
        #: Every change of the run, in the order in which they were written.
        self.written: list[Observed] = []
        #: The fences of all who have owned the run.
        self.fences = [0]
        #: Where its saved checkpoint has to be, at least.
        self.saved = 0
        self.asked = 0
        self.project.sent()

    @initialize()
    def begins(self) -> None:
        message = ev.Admit(0, "w1/a", envelope=self.project.envelope, at=1.0, fresh_fence=5)
        begun = self._apply(message)
        self._note(begun)
        assert begun.record is not None
        for ordinal, entry in {ENVELOPE: envelope_entry(self.project.envelope), 2: ITEM}.items():
            self.where.store.quarantine(RUN, begun.record.fence, ordinal, entry, keep=1e6)

    # -- what the run is ---------------------------------------------------------------------

    @property
    def record(self) -> Record | None:
        return self.where.store.load(RUN).record

    @property
    def case(self) -> Case | None:
        record = self.record
        return None if record is None else case_in(record)

    def _apply(self, event: ev.Event, deed: Callable[[], object] | None = None) -> Transition:
        return transition(
            _store(self.where.store, deed),
            RUN,
            event,
            self.project.runtime.policy,
            observers=[self._observe],
            who="w1/a",
        )

    def _observe(self, change: Observed) -> None:
        if change.run == RUN:
            self.written.append(change)

    def _note(self, done: Transition) -> None:
        if done.record is not None and done.decision.verdict in _ADMITTED:
            self.fences.append(done.record.fence)

    # -- workers and rescuers ----------------------------------------------------------------

    @rule(what=st.sampled_from([each for each in RIVALS if each not in set(Verb)]), rival=RIVAL)
    def somebody_else(self, what: str, rival: str) -> None:
        self._somebody_else(what, self._deed(rival))

    def _deed(self, rival: str) -> Callable[[], object] | None:
        if not rival:
            return None
        if rival in set(Verb):
            return lambda: self._operate(Verb(rival), "ben", None)
        return lambda: self._somebody_else(rival, None)

    def _somebody_else(self, what: str, deed: Callable[[], object] | None) -> None:
        record = self.record
        if record is None:
            return
        # Of the latest owner; a stale one does the same in ``stale_owners_write_nothing``.
        fence, steps = self.fences[-1], self.saved + 1
        text = encode(Checkpoint(cursor=steps, steps=steps))
        if what == "save":
            self._save(fence, text, steps, deed)
        elif what == "admit":
            self._note(self._apply(ev.Admit(record.generation, "w2/a", redelivered=True), deed))
        elif what == "rescue":
            self.where.shift(LEASE + 1)
            self._apply(ev.Rescue(), deed)
        else:
            owner: dict[str, ev.Event] = {
                "hand over": ev.HandOver(fence, text, steps, "shutdown"),
                "retry": ev.Wait(fence, text, steps, "retry", 5.0),
                "finish": ev.Finish(fence, text, steps, "result", Outcome.FAILED),
                "end": ev.End(fence, Outcome.COMPLETED, text, steps),
                "release": ev.Release(record.owner or "", record.generation),
            }
            done = self._apply(owner[what], deed)
            if done.decision.record is not None and what != "release":
                self.saved = steps

    def _save(self, fence: int, text: str, steps: int, deed: Callable[[], object] | None) -> None:
        answer = _store(self.where.store, deed).checkpoint(RUN, fence, text, steps, due_in=LEASE)
        if not answer.accepted:
            return
        record = self.record
        assert record is not None
        assert (record.state, record.fence) == (State.RUNNING, fence)
        self.saved = steps
        if answer.requested == "adjust":
            self._apply(ev.NoteAdjusted(fence))
        elif answer.requested is not None:
            self._apply(ev.HandOver(fence, text, steps, str(answer.requested)))

    # -- operators ---------------------------------------------------------------------------

    @rule(verb=st.sampled_from(ASKED), rival=RIVAL, stale=st.booleans())
    def operate(self, verb: Verb, rival: str, stale: bool) -> None:
        record = self.record
        expected = public_state(record) if stale and record is not None else ""
        self._operate(verb, "ann", self._deed(rival), expected)

    @rule(state=st.sampled_from([str(case) for case in Case]))
    def a_form_that_was_open_for_long(self, state: str) -> None:
        record = self.record
        if record is not None and public_state(record) != state:
            before = len(self.written)
            assert self._operate(Verb.CANCEL, "ann", None, state) is None
            assert len(self.written) == before

    def _operate(
        self, verb: Verb, who: str, deed: Callable[[], object] | None, expected: str = ""
    ) -> object:
        """Ask for a verb; ``None``: it was refused."""
        at = self.where.store.load(RUN)
        if at.record is None:
            return None
        self.asked += 1
        reason = f"request {self.asked}"
        asked = Asked(verb, who, reason, expected, ARGUMENTS.get(verb, {}))
        before, first = case_in(at.record), len(self.written)
        change: Any = None
        with suppress(RunRefused):
            change = do(self._runtime(deed), Found(RUN, at.record, at.now), asked)
        own = [each for each in self.written[first:] if reason in _reasons(each)]
        others = len(self.written) - first - len(own)
        legal = VERBS[verb, before].legal and expected in ("", public_state(at.record))
        self._check_outcome(verb, asked, change, own, raced=bool(others), legal=legal)
        if change is not None and verb is Verb.REWIND:
            self.saved = 0
        return change

    def _check_outcome(
        self,
        verb: Verb,
        asked: Asked,
        change: Any,
        own: list[Observed],
        *,
        raced: bool,
        legal: bool,
    ) -> None:
        if change is None:
            # A paused run is cancelled before it is deleted, which a rival may prevent.
            assert not own or (verb is Verb.DELETE and raced), "refused, and done all the same"
            assert not legal or raced, f"{verb} is refused in {self.case}"
            return
        for each in own:
            assert each.before is not None
            at = each.before
            of = Verb.CANCEL if verb is Verb.DELETE and at.live else verb
            assert VERBS[of, case_in(at)].legal, f"{of} was done to a run that is {case_in(at)}"
            assert not asked.expected_state or public_state(own[0].before) == asked.expected_state  # type: ignore[arg-type]
        if verb is Verb.FORK:
            assert self.where.store.load(RunKey(RUN.task, change.sent)).record is not None
        elif verb is Verb.REPLAY:
            self._check_replay(change, own)
        elif not own:
            assert change.why == "already asked"
        elif change.verdict is Verdict.PUBLISH:
            assert own[-1].after.generation in self.project.sent() or raced

    def _check_replay(self, change: Any, own: list[Observed]) -> None:
        """It is in the log, its task was sent, and nothing else of the run is another."""
        (noted,) = own
        assert noted.before is not None
        assert change.sent in actions(noted.after.actions)[-1].change
        assert 0 in self.project.sent(), "no task was sent"
        before, after = noted.before, noted.after
        assert (before.state, before.fence, before.generation) == (
            after.state,
            after.fence,
            after.generation,
        )
        assert before.end is None or before.live or before.end == after.end
        assert after.requested is before.requested

    def _runtime(self, deed: Callable[[], object] | None) -> Runtime:
        runtime = copy.copy(self.project.runtime)
        runtime.__dict__["store"] = _store(self.where.store, deed)
        runtime.__dict__["observers"] = [self._observe]
        return runtime

    # -- promises ----------------------------------------------------------------------------

    @invariant()
    def stale_owners_write_nothing(self) -> None:
        record = self.record
        for fence in self.fences:
            if record is None or (record.state, record.fence) != (State.RUNNING, fence):
                text = encode(Checkpoint(cursor=99, steps=99))
                answer = self.where.store.checkpoint(RUN, fence, text, 99, due_in=LEASE)
                assert not answer.accepted
                if record is not None and record.fence != fence:
                    done = self._apply(ev.End(fence, Outcome.COMPLETED, text, 99))
                    assert done.decision.verdict is Verdict.REFUSED

    @invariant()
    def nothing_is_lost(self) -> None:
        record = self.record
        if record is None:
            return
        position = 0 if record.checkpoint is None else decode(record.checkpoint).cursor
        assert position >= self.saved, "a checkpoint went back"
        assert (record.due_at is None) == (record.state in (State.PAUSED, State.ENDED))
        assert not record.live or record.envelope, "no message can be made of it"
        assert record.owner is None or record.state in (State.RUNNING, State.FINISHING)

    @invariant()
    def the_log_says_what_was_done(self) -> None:
        record = self.record
        if record is None:
            return
        done = [by for each in self.written if (by := getattr(each.event, "by", None)) is not None]
        assert [_short(by) for by in actions(record.actions)] == [_short(by) for by in done][-50:]

    @invariant()
    def the_record_is_what_was_written_last(self) -> None:
        if self.record is not None and self.written:
            last = self.written[-1].after
            assert (self.record.stamp, self.record.state) == (last.stamp, last.state)

    def teardown(self) -> None:
        """Without further harm the run ends, wherever operators have left it."""
        for _ in range(10):
            record = self.record
            if record is None or not record.live:
                return
            if record.state is State.PAUSED:
                self._operate(Verb.RESUME, "ann", None)
            self._somebody_else("rescue", None)
            self._somebody_else("admit", None)
            self._somebody_else("end", None)
        raise AssertionError(f"no way forward: {self.record}")


def case_in(record: Record) -> Case:
    """The case of a record."""
    return case_of(public_state(record), record.requested and str(record.requested))


def _store(store: Store, deed: Callable[[], object] | None) -> Any:
    return store if deed is None else Interleaved(store, deed)


def _reasons(change: Observed) -> tuple[str, ...]:
    by = getattr(change.event, "by", None)
    return () if by is None else (by.reason,)


def _short(by: Action) -> tuple[str, str, str]:
    return by.verb, by.who, by.reason
