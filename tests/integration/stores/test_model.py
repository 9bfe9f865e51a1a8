"""Each store against a model of a few lines, over random sequences of operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from celery_graceful.model.run.record import (
    MOST_GENERATIONS,
    Outcome,
    Record,
    Request,
    RunKey,
    State,
)
from celery_graceful.stores.base import Store
from celery_graceful.testing.store_contract.samples import listed

Open = Callable[..., Store]

_names = st.sampled_from(["a", "b:c", "ü"])
_runs = st.builds(RunKey, _names, _names)
_ints = st.integers(0, 2**40)
_texts = st.text(max_size=20)
_owners = st.sampled_from(["one", "two"])
_fences = st.integers(0, 2)
#: Long past, or far ahead: nothing falls due or is forgotten while the test looks.
_due_in = st.none() | st.integers(-9000, -1000) | st.integers(1000, 9000)
_records = st.builds(
    Record,
    state=st.sampled_from(State),
    generation=st.integers(0, MOST_GENERATIONS),
    fence=_fences,
    owner=st.none() | _owners,
    checkpoint=st.none() | _texts,
    steps=_ints,
    execution_steps=_ints,
    resumptions=_ints,
    crashes=_ints,
    crash_steps=st.integers(-1, 9),
    last_crash=_texts,
    stalls=_ints,
    republished=_ints,
    unroutable=_texts,
    requested=st.none() | st.sampled_from(Request),
    reason=_texts,
    outcome=st.none() | st.sampled_from(Outcome),
    result=st.none() | _texts,
    envelope=st.binary(max_size=20),
    started_at=st.floats(0, 2e9),
    began=st.floats(0, 2e9),
    process=_ints,
    trace=_texts,
    history=_texts,
    actions=_texts,
    error=_texts,
)


class Model(RuleBasedStateMachine):
    """Knows what the store has to hold; ``due`` in seconds from a common begin."""

    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[RunKey, Record] = {}
        self.ended: dict[RunKey, int] = {}
        self.numbers = count()

    @rule(run=_runs, guess=st.integers(-1, 1), record=_records, due_in=_due_in)
    def swap(self, run: RunKey, guess: int, record: Record, due_in: int | None) -> None:
        there = self.records.get(run)
        version = there.version if there else 0
        expected = max(0, version + guess)
        keep = None if record.live else 9000
        record = replace(record, kept_for=float(keep or 0))
        answer = self.store.swap(run, expected, record, due_in=due_in, keep=keep)
        assert answer.done == (expected == version)
        if answer.done:
            due_at = None if due_in is None or not record.live else float(due_in)
            self.records[run] = replace(record, version=expected + 1, due_at=due_at)
            self.ended.pop(run, None)
            if not record.live:
                self.ended[run] = next(self.numbers)
            assert answer.version == expected + 1
        else:
            assert self.rounded(answer.record, answer.now) == there

    @rule(run=_runs, fence=_fences, text=_texts, steps=_ints, due_in=st.integers(1000, 9000))
    def checkpoint(self, run: RunKey, fence: int, text: str, steps: int, due_in: int) -> None:
        there = self.records.get(run)
        answer = self.store.checkpoint(run, fence, text, steps, due_in=due_in)
        accepted = there is not None and there.state is State.RUNNING and there.fence == fence
        assert answer.accepted == accepted
        if there is not None and accepted:
            self.records[run] = replace(
                there,
                checkpoint=text,
                steps=steps,
                due_at=float(due_in),
                version=there.version + 1,
            )
            assert (answer.version, answer.requested) == (there.version + 1, there.requested)

    @rule(owner=_owners, runs=st.sets(_runs), due_in=st.integers(1000, 9000))
    def renew(self, owner: str, runs: set[RunKey], due_in: int) -> None:
        self.store.renew(owner, runs, due_in=due_in)
        for run in runs & set(self.records):
            there = self.records[run]
            if there.owner == owner and there.state in (State.RUNNING, State.FINISHING):
                self.records[run] = replace(there, due_at=float(due_in), version=there.version + 1)

    @rule(run=_runs)
    def load(self, run: RunKey) -> None:
        found = self.store.load(run)
        assert self.rounded(found.record, found.now) == self.records.get(run)

    @rule(limit=st.integers(1, 4))
    def due(self, limit: int) -> None:
        now = self.store.load(RunKey("", "")).now
        found = [(run, self.rounded(record, now)) for run, record in self.store.due(limit)]
        overdue = {
            run: record.due_at
            for run, record in self.records.items()
            if record.due_at is not None and record.due_at < 0
        }
        assert len(found) == min(limit, len(overdue))
        assert all(record == self.records[run] for run, record in found)
        # Runs whose times are as good as equal may come in either order.
        expected = sorted(overdue.values())[:limit]
        assert [overdue[run] for run, _ in found] == pytest.approx(expected, abs=self.slack)

    slack = 60.0

    @invariant()
    def runs(self) -> None:
        now = self.store.load(RunKey("", "")).now
        found = [(run, self.rounded(record, now)) for run, record in listed(self.store, 99)]
        assert dict(found) == self.records
        last = sorted(self.ended, key=lambda run: self.ended[run], reverse=True)
        assert [run for run, _ in found][len(found) - len(last) :] == last

    def rounded(self, record: Record | None, now: float) -> Record | None:
        """``record`` with a time relative to now, as the model has it, when it is near enough."""
        if record is not None:
            assert (record.ended_at is None) == record.live
            record = replace(record, ended_at=None)
        if record is None or record.due_at is None:
            return record
        expected = [
            there.due_at
            for there in self.records.values()
            if there.due_at is not None and replace(record, due_at=there.due_at) == there
        ]
        near = [due for due in expected if abs(record.due_at - now - due) < self.slack]
        assert near, (record, now)
        return replace(record, due_at=near[0])


@pytest.mark.parametrize("kind", ["memory", "redis", "sqlite"])
def test_the_store_agrees_with_the_model(
    kind: str, request: pytest.FixtureRequest, opener: Open
) -> None:
    url = "memory://" if kind == "memory" else request.getfixturevalue(f"{kind}_url")
    names = count()

    class Machine(Model):
        def __init__(self) -> None:
            super().__init__()
            self.store = opener(url, f"{kind}-{next(names)}-{id(request)}")

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=40 if kind != "sqlite" else 15,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
