"""Records of older and of later versions of the package, in every store that outlives one."""

from __future__ import annotations

import json

import pytest

from celery_graceful import __version__
from celery_graceful.errors import CorruptRecord, NewerRecord
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import Record, RunKey, State, replace
from celery_graceful.model.run.verdict import Policy, Verdict
from celery_graceful.runs.transition import transition
from celery_graceful.stores.base import Store
from celery_graceful.testing.store_contract.samples import OWNER, RUNNING, listed, put, read
from tests.integration.stores.test_corrupt import Open
from tests.integration.stores.written import FIRST, NEWER, RICHER, Elsewhere

OLD, GOOD = RunKey("t:ask", "old"), RunKey("t:ask", "good")

WRITTEN = Record(
    State.RUNNING,
    generation=2,
    fence=4,
    owner="w@one/1",
    due_at=1.0,
    checkpoint="text",
    steps=7,
    execution_steps=3,
    resumptions=1,
    reason="shutdown",
    envelope=b"envelope",
    started_at=1712345678.5,
    stamp="0123456789abcdef",
    version=9,
)


@pytest.fixture
def store(plain_url: str, opener: Open) -> Store:
    store = opener(plain_url)
    put(store, run=GOOD, due_in=-1)
    return store


@pytest.fixture
def elsewhere(plain_url: str) -> Elsewhere:
    return Elsewhere(plain_url)


@pytest.mark.parametrize("richer", [False, True], ids=["first version", "later version"])
def test_what_is_missing_has_a_default_and_what_is_unknown_is_passed_over(
    store: Store, elsewhere: Elsewhere, richer: bool, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere.write(OLD, RICHER if richer else FIRST, more=richer)
    assert read(store, OLD) == WRITTEN
    assert dict(store.due(9))[OLD] == dict(listed(store, 9))[OLD] == WRITTEN
    store.renew("w@one/1", [OLD], due_in=-1)
    assert store.checkpoint(OLD, 4, "next", 8, due_in=-1).accepted
    done = transition(store, OLD, ev.Rescue(), Policy())
    assert done.decision.verdict is Verdict.PUBLISH
    after = read(store, OLD)
    assert (after.state, after.generation, after.steps) == (State.INTERRUPTED, 3, 8)
    assert after.checkpoint == "next"
    assert not caplog.records


def test_what_is_written_here_says_by_whom_and_can_be_read_by_the_first_version(
    store: Store, elsewhere: Elsewhere
) -> None:
    summary = elsewhere.summary(GOOD)
    assert summary["by"] == __version__
    for name, value in FIRST.items():
        kind = type(None) if value is None else type(value)
        assert isinstance(summary[name], kind), name


def test_a_later_format_is_refused_by_name_and_left_alone(
    store: Store, elsewhere: Elsewhere, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere.write(OLD, NEWER)
    for look in (
        lambda: store.load(OLD),
        lambda: store.swap(OLD, 0, RUNNING, due_in=9),
        lambda: store.swap(OLD, 77, RUNNING, due_in=9),
        lambda: transition(store, OLD, ev.Cancel(), Policy()),
    ):
        with pytest.raises(NewerRecord, match=r"0\.9\.1 wrote it in format 2.*Upgrade") as raised:
            look()
        assert "old" in str(raised.value)
        assert "delete" not in str(raised.value)
    for _ in range(3):
        assert [run for run, _ in store.due(9)] == [GOOD]
        assert [run for run, _ in listed(store, 9)] == [GOOD]
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "0.9.1" in warning
    assert "delete" not in warning
    assert elsewhere.summary(OLD) == NEWER
    store.renew(OWNER, [OLD, GOOD], due_in=60)
    assert read(store, GOOD).version == 2


@pytest.mark.parametrize("written_as", [0, -1, True, "1", None, 1.5])
def test_a_format_that_no_version_writes(
    store: Store, elsewhere: Elsewhere, written_as: object
) -> None:
    elsewhere.write(OLD, {**FIRST, "format": written_as})
    with pytest.raises(CorruptRecord, match="its format is") as raised:
        store.load(OLD)
    assert not isinstance(raised.value, NewerRecord)


def test_a_fixed_record_goes_on(store: Store, elsewhere: Elsewhere) -> None:
    """As docs/how-to/operate-runs.md says: due as before, and with all it had."""
    elsewhere.write(OLD, FIRST)
    before = read(store, OLD)
    elsewhere.rewrite(OLD, json.dumps(FIRST)[:40])
    with pytest.raises(CorruptRecord):
        store.load(OLD)
    elsewhere.rewrite(OLD, json.dumps(FIRST))
    assert read(store, OLD) == replace(before, version=9)
    assert OLD in dict(store.due(9))
