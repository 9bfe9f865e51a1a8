"""A write whose answer is lost was applied or not, and nobody knows: it is applied once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from celery.app.task import Context

from celery_graceful._celery.message.headers import GENERATION, RAW
from celery_graceful.errors import StoreUnavailable
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.model.run.record import Outcome, Record, RunKey, State
from celery_graceful.model.run.verdict import Verdict
from celery_graceful.runs.admit import Admission, admit
from celery_graceful.runs.ticket import Ticket
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import Runtime

from .conftest import TASK, Faulty

RUN = RunKey(TASK, "id-1")
CHECKPOINT = encode(Checkpoint(5, {"sum": 1}, 5))
LOST = pytest.mark.parametrize("lost", ["nothing", "calls", "answers"])


def lose(faulty: Faulty, lost: str, times: int = 1) -> None:
    faulty.writes = 0
    if lost == "calls":
        faulty.lose_calls = times
    if lost == "answers":
        faulty.lose_answers = times


def message(generation: int = 0, redelivered: bool = False) -> Context:
    headers: dict[str, Any] = {GENERATION: generation} if generation else {}
    raw = (b"[]", "application/json", "utf-8", {"id": RUN.id, "task": RUN.task})
    about = {"delivery_info": {"redelivered": redelivered}, "properties": {RAW: raw}}
    return Context({"id": RUN.id, **about, **headers})


def ask(runtime: Runtime, request: Context) -> Admission:
    return admit(runtime, RUN.task, request, "w@host/1")


def record(runtime: Runtime) -> Record:
    found = runtime.store.load(RUN).record
    assert found is not None
    return found


@pytest.fixture
def ticket(runtime: Runtime, faulty: Faulty) -> Ticket:
    """The right to carry a run, as its first execution has it."""
    admission = ask(runtime, message())
    assert admission.ticket is not None
    return admission.ticket


@LOST
def test_a_first_admission(runtime: Runtime, faulty: Faulty, lost: str) -> None:
    lose(faulty, lost)
    admission = ask(runtime, message())
    assert admission.verdict is Verdict.START
    assert faulty.writes == 1
    assert admission.ticket is not None
    there = record(runtime)
    assert (there.fence, there.state) == (admission.ticket.fence, State.RUNNING)
    assert admission.ticket.record == replace(
        record(runtime), due_at=admission.ticket.record.due_at
    )


@LOST
@pytest.mark.parametrize("redelivered", [False, True])
def test_the_admission_of_a_successor(
    runtime: Runtime, faulty: Faulty, ticket: Ticket, lost: str, redelivered: bool
) -> None:
    ticket.hand_over(CHECKPOINT, 5, "shutdown")
    lose(faulty, lost)
    admission = ask(runtime, message(1, redelivered))
    assert admission.verdict is Verdict.RESUME, admission.why
    assert admission.ticket is not None
    after = record(runtime)
    assert admission.ticket.record.checkpoint == after.checkpoint == CHECKPOINT
    assert (faulty.writes, after.fence, after.generation, after.resumptions) == (
        1,
        ticket.fence + 1,
        1,
        1,
    )
    assert after.crashes == 0


@LOST
def test_the_admission_of_a_returned_message(
    runtime: Runtime, faulty: Faulty, ticket: Ticket, lost: str
) -> None:
    ticket.hand_over(CHECKPOINT, 5, "shutdown", successor=False)
    lose(faulty, lost)
    admission = ask(runtime, message(redelivered=True))
    assert admission.verdict is Verdict.RESUME, admission.why
    assert (faulty.writes, record(runtime).fence) == (1, ticket.fence + 1)


@LOST
def test_the_admission_of_a_re_used_id(
    runtime: Runtime, faulty: Faulty, ticket: Ticket, lost: str
) -> None:
    ticket.end(Outcome.COMPLETED)
    lose(faulty, lost)
    admission = ask(runtime, message())
    assert admission.verdict is Verdict.START, admission.why
    assert faulty.writes == 1
    assert record(runtime).fence > ticket.fence


@LOST
def test_an_admission_whose_run_is_revoked_meanwhile(
    runtime: Runtime, faulty: Faulty, lost: str
) -> None:
    """What began it was lost, so it is asked for again; it must not begin a second time."""
    kill = ev.Kill(Outcome.CANCELLED, "revoked")
    faulty.in_between = lambda: transition(faulty.store, RUN, kill, runtime.policy)
    lose(faulty, lost)
    admission = ask(runtime, message())
    assert admission.verdict is (Verdict.DROP if lost == "answers" else Verdict.START)
    if lost == "answers":
        assert record(runtime).outcome is Outcome.CANCELLED


@LOST
def test_an_admission_that_returns_what_was_saved(
    runtime: Runtime, faulty: Faulty, ticket: Ticket, lost: str
) -> None:
    ticket.finish(CHECKPOINT, 5, "saved", Outcome.COMPLETED)
    transition(runtime.store, RUN, ev.Release("w@host/1", 0), runtime.policy)
    lose(faulty, lost)
    admission = ask(runtime, message(redelivered=True))
    assert admission.verdict is Verdict.RETURN_SAVED, admission.why
    assert admission.ticket is not None
    assert admission.ticket.record.result == "saved"
    assert faulty.writes == 1


ENDS: dict[str, tuple[Any, Verdict, State]] = {
    "hand over": (
        lambda t: t.hand_over(CHECKPOINT, 5, "shutdown"),
        Verdict.PUBLISH,
        State.INTERRUPTED,
    ),
    "give back": (
        lambda t: t.hand_over(CHECKPOINT, 5, "shutdown", successor=False),
        Verdict.PUBLISH,
        State.INTERRUPTED,
    ),
    "wait": (lambda t: t.wait(CHECKPOINT, 5, "retry", 3.0), Verdict.PUBLISH, State.RETRYING),
    "finish": (
        lambda t: t.finish(CHECKPOINT, 5, "result", Outcome.COMPLETED),
        Verdict.DONE,
        State.FINISHING,
    ),
    "end": (lambda t: t.end(Outcome.FAILED), Verdict.DONE, State.ENDED),
}


@LOST
@pytest.mark.parametrize("beaten", [False, True])
@pytest.mark.parametrize(("leave", "verdict", "state"), ENDS.values(), ids=ENDS.keys())
def test_the_end_of_a_execution(
    runtime: Runtime,
    faulty: Faulty,
    ticket: Ticket,
    leave: Any,
    verdict: Verdict,
    state: State,
    lost: str,
    beaten: bool,
) -> None:
    if beaten:  # the version that the execution knows is an old one
        runtime.store.renew("w@host/1", [RUN], due_in=5)
        faulty.in_between = lambda: runtime.store.renew("w@host/1", [RUN], due_in=5)
    lose(faulty, lost)
    decision = leave(ticket)
    assert decision.verdict is verdict, decision.why
    assert faulty.writes == 1
    assert record(runtime).state is state
    assert record(runtime).generation == ticket.record.generation <= 1


@LOST
@pytest.mark.parametrize("event", [ev.Cancel(), ev.Pause()])
def test_a_hand_over_after_an_operators_request(
    runtime: Runtime, faulty: Faulty, ticket: Ticket, event: Any, lost: str
) -> None:
    """The execution does not know the request yet; the answer says what became of the run."""
    transition(runtime.store, RUN, event, runtime.policy)
    lose(faulty, lost)
    decision = ticket.hand_over(CHECKPOINT, 5, "shutdown")
    assert decision.verdict is Verdict.DONE, decision.why
    ended = isinstance(event, ev.Cancel)
    assert ticket.record.state is (State.ENDED if ended else State.PAUSED)
    assert ticket.record.outcome is (Outcome.CANCELLED if ended else None)
    assert faulty.writes == 1


@LOST
def test_a_reclaim(runtime: Runtime, faulty: Faulty, ticket: Ticket, lost: str) -> None:
    ticket.hand_over(CHECKPOINT, 5, "shutdown")
    before = ticket.fence
    lose(faulty, lost)
    decision = ticket.reclaim()
    assert decision.verdict is Verdict.RESUME, decision.why
    assert record(runtime).fence == ticket.fence == before + 1
    assert ticket.flush(CHECKPOINT, 6).accepted


@LOST
def test_a_checkpoint_that_is_saved_patiently(
    runtime: Runtime, faulty: Faulty, ticket: Ticket, lost: str
) -> None:
    lose(faulty, lost)
    assert ticket.save(CHECKPOINT, 5).accepted
    assert (record(runtime).checkpoint, record(runtime).steps) == (CHECKPOINT, 5)
    assert ticket.hand_over(CHECKPOINT, 6, "shutdown").verdict is Verdict.PUBLISH


def test_several_answers_are_lost(runtime: Runtime, faulty: Faulty, ticket: Ticket) -> None:
    lose(faulty, "calls", 3)
    faulty.lose_answers = 1
    assert ticket.hand_over(CHECKPOINT, 5, "shutdown").verdict is Verdict.PUBLISH
    assert (faulty.writes, record(runtime).generation) == (1, 1)


def test_a_checkpoint_is_never_called_written_when_it_was_not(
    runtime: Runtime, faulty: Faulty, ticket: Ticket
) -> None:
    lose(faulty, "calls")
    with pytest.raises(StoreUnavailable):
        ticket.flush(CHECKPOINT, 5)
    assert (ticket.record.steps, record(runtime).steps) == (0, 0)


def test_a_fenced_execution_is_refused_everything(
    runtime: Runtime, faulty: Faulty, ticket: Ticket
) -> None:
    transition(runtime.store, RUN, ev.Release("w@host/1", 0), runtime.policy)
    second = ask(runtime, message(1)).ticket
    assert second is not None
    assert not ticket.flush(CHECKPOINT, 5).accepted
    for leave, _, _ in ENDS.values():
        assert leave(ticket).verdict is Verdict.REFUSED
    assert ticket.reclaim().verdict is Verdict.REFUSED
    assert record(runtime).fence == second.fence


def test_a_wrong_header_is_no_generation(runtime: Runtime, faulty: Faulty) -> None:
    """Whatever a stranger put into the header: a clear error, or no generation."""
    request = message()
    setattr(request, GENERATION, "7")
    assert ask(runtime, request).verdict is Verdict.START
