"""The verdict of the chaos run fails what has to fail: a verdict that passes all proves nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.crew import Duty
from tests.chaos.evidence import Evidence
from tests.chaos.faults import Fault
from tests.chaos.journal import Note
from tests.chaos.ledger import Effect
from tests.chaos.runs import Sent
from tests.chaos.verdict import Verdict, judge

LEASE, FLUSH = 3.0, 0.5
#: Two workers, and the child of each that carries the run.
FIRST, FIRST_CHILD, SECOND, SECOND_CHILD = 10, 11, 20, 21
ITEMS = 100


def effect(item: int, at: float, fence: int = 1, kind: str = "plain") -> Effect:
    """One item each 10 ms; the first execution on the first worker, the second on the second."""
    pid, worker = (FIRST_CHILD, FIRST) if fence == 1 else (SECOND_CHILD, SECOND)
    return Effect("run", item, kind, fence, pid, worker, at)


def note(what: str, at: float, fence: int = 1, version: int = 1, steps: int = 0) -> Note:
    pid, worker = (FIRST_CHILD, FIRST) if fence == 1 else (SECOND_CHILD, SECOND)
    return Note(what, "run", fence, version, steps, pid, worker, at)


def evidence(
    first: range,
    second: range,
    *,
    faults: tuple[Fault, ...] = (),
    resumed: float = 3.0,
    **more: Any,
) -> Evidence:
    """A run whose first execution did ``first`` from second 0 on, the second ``second``."""
    kind = more.pop("kind", "plain")
    found = Evidence(
        sent=[Sent("run", "chaos.generator", ITEMS, "SUCCESS", {"id": "run", "sum": 4950})],
        effects=[
            *(effect(item, item / 100, 1, kind) for item in first),
            *(effect(item, resumed + item / 100, 2, kind) for item in second),
        ],
        notes=[note("begin", 0.0), note("begin", resumed, 2, 9), note("completed", 9.0, 2, 10)],
        faults=list(faults),
        duties=[Duty(FIRST, 0.0), Duty(SECOND, 0.0)],
        stops=[],
        troubles=[],
    )
    for name, value in more.items():
        setattr(found, name, value)
    return found


def fault(kind: str, at: float, until: float | None = None) -> Fault:
    pids = (FIRST_CHILD,)
    return Fault(1, kind, "first", at, at if until is None else until, FIRST, pids)


def judged(found: Evidence) -> Verdict:
    return judge(found, lease=LEASE, flush=FLUSH)


def test_a_clean_run_passes() -> None:
    verdict = judged(evidence(range(50), range(50, 100), faults=(fault("sigterm", 0.5),)))
    assert not verdict.failures
    assert (verdict.lost, verdict.repeated("graceful"), verdict.repeated("crash")) == (0, 0, 0)


def test_a_lost_item_fails() -> None:
    verdict = judged(evidence(range(50), range(51, 100)))
    assert verdict.lost == 1
    assert "lost 1 items, the first is 50" in verdict.failures[0]


@pytest.mark.parametrize("kind", ["sigterm", "sigstop_main", "broker_restart", "drop_store"])
def test_a_repeat_without_a_crash_fails(kind: str) -> None:
    verdict = judged(evidence(range(50), range(49, 100), faults=(fault(kind, 0.49, 1.0),)))
    assert verdict.repeated("graceful") == 1
    assert "repeated without a crash" in verdict.failures[0]


@pytest.mark.parametrize("kind", ["sigkill_child", "sigkill_worker", "sigstop_worker"])
def test_a_crash_may_repeat_what_was_not_flushed(kind: str) -> None:
    verdict = judged(evidence(range(90), range(20, 100), faults=(fault(kind, 0.9),)))
    assert not verdict.failures
    assert verdict.repeated("crash") == 70


def test_a_crash_may_not_repeat_more() -> None:
    found = evidence(range(90), range(100), faults=(fault("sigkill_child", 0.905),))
    assert "repeated 90 items of run, where at most 74" in judged(found).failures[0]


def test_the_time_in_which_all_stood_still_does_not_count() -> None:
    found = evidence(range(90), range(30, 100), faults=(fault("sigkill_child", 9.0),), resumed=12.0)
    assert not judged(found).failures
    # 0.1 s of the standstill count, and 66 items of 10 ms.
    found = evidence(range(90), range(100), faults=(fault("sigkill_child", 9.0),), resumed=12.0)
    assert "repeated 90 items of run, where at most 66" in judged(found).failures[0]


def test_a_crash_elsewhere_answers_for_nothing() -> None:
    other = Fault(1, "sigkill_worker", "second", 0.5, 0.5, SECOND, (SECOND_CHILD,))
    assert judged(evidence(range(50), range(49, 100), faults=(other,))).repeated("graceful") == 1


def test_the_time_without_a_store_does_not_count() -> None:
    away = Fault(2, "store_outage", "store", 0.4, 0.8)
    found = evidence(range(90), range(100), faults=(away, fault("sigkill_child", 0.9)))
    assert not judged(found).failures


def test_a_stop_without_a_store_repeats_what_could_not_be_saved() -> None:
    stop, away = fault("sigterm", 0.6), Fault(2, "store_outage", "store", 0.5, 4.5)
    found = evidence(range(90), range(10, 100), faults=(stop, away), resumed=6.0)
    verdict = judged(found)
    assert not verdict.failures
    assert verdict.repeated("outage") == 80
    away.until = 2.0  # back before the execution gives up
    assert judged(found).repeated("graceful") == 80


def test_a_stalled_runner_may_go_on_for_one_checkpoint_interval() -> None:
    stall = fault("sigstop_worker", 0.5, 7.0)
    found = evidence(range(50), range(50, 100), faults=(stall,))
    overlap = [effect(50, 7.3), effect(51, 7.4)]
    assert not judged(evidence_with(found, overlap)).failures
    assert judged(evidence_with(found, [effect(52, 7.6)])).repeated("graceful") == 1


def evidence_with(found: Evidence, more: list[Effect]) -> Evidence:
    found.effects = sorted([*found.effects, *more], key=lambda effect: effect.at)
    return found


def test_an_atomic_repeat_fails_whatever_struck() -> None:
    found = evidence(
        range(50), range(49, 100), faults=(fault("sigkill_child", 0.5),), kind="atomic"
    )
    verdict = judged(found)
    assert verdict.repeated("atomic") == 1
    assert "1 atomic effects repeated" in verdict.failures[0]


def test_one_item_twice_under_one_fence_fails() -> None:
    found = evidence(range(50), range(50, 100), faults=(fault("sigkill_child", 0.5),))
    assert judged(evidence_with(found, [effect(49, 0.495)])).repeated("graceful") == 1


def test_checkpoints_of_two_fences_that_interleave_fail() -> None:
    found = evidence(range(50), range(50, 100))
    found.notes += [note("saved", 5.0, 2, 5, 60), note("saved", 4.0, 1, 6, 70)]
    assert "was accepted after" in judged(found).failures[0]


def test_a_checkpoint_that_goes_back_fails() -> None:
    found = evidence(range(50), range(50, 100))
    found.notes += [note("saved", 4.0, 1, 5, 60), note("saved", 5.0, 2, 6, 50)]
    assert "was accepted after" in judged(found).failures[0]


@pytest.mark.parametrize(
    ("state", "result", "said"),
    [
        ("PENDING", None, "has not ended"),
        ("FAILURE", "ValueError()", "ended FAILURE"),
        ("SUCCESS", {"id": "run", "sum": 4949}, "not {'id': 'run', 'sum': 4950}"),
        ("SUCCESS", {"id": "other", "sum": 4950}, "'id': 'other'"),
    ],
)
def test_a_wrong_end_fails(state: str, result: Any, said: str) -> None:
    sent = [Sent("run", "chaos.generator", ITEMS, state, result)]
    assert said in judged(evidence(range(50), range(50, 100), sent=sent)).failures[0]


RAISED = "BaseExceptionRaised('…')"


def test_a_run_whose_item_exits_fails_there_and_nothing_is_repeated() -> None:
    sent = [Sent("run", "chaos.generator", ITEMS, "FAILURE", RAISED, exits=60)]
    assert not judged(evidence(range(50), range(50, 61), sent=sent)).failures


@pytest.mark.parametrize(
    ("state", "result", "second", "said"),
    [
        ("SUCCESS", {"id": "run", "sum": 4950}, range(50, 61), "raised what is no Exception"),
        ("FAILURE", "WorkerLostError()", range(50, 61), "raised what is no Exception"),
        ("FAILURE", RAISED, range(51, 61), "lost 1 items, the first is 50"),
        ("FAILURE", RAISED, range(50, 63), "did 2 items after it had failed"),
        ("FAILURE", RAISED, range(49, 61), "repeated without a crash"),
    ],
)
def test_an_item_that_exits_answers_for_no_repeat_and_no_loss(
    state: str, result: Any, second: range, said: str
) -> None:
    sent = [Sent("run", "chaos.generator", ITEMS, state, result, exits=60)]
    failures = judged(evidence(range(50), second, sent=sent)).failures
    assert any(said in failure for failure in failures), failures


@pytest.mark.parametrize(("last", "passes"), [(45, True), (39, False)])
def test_an_atomic_run_that_exits_undoes_its_last_batch(last: int, passes: bool) -> None:
    sent = [Sent("run", "chaos.atomic", ITEMS, "FAILURE", RAISED, exits=60)]
    found = evidence(range(30), range(30, last), sent=sent, kind="atomic")
    assert (judged(found).failures == []) is passes


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_what_nobody_admitted_may_never_have_come_to_the_broker(broker: str) -> None:
    sent = [Sent("run", "chaos.generator", ITEMS, uncertain=True)]
    verdict = judged(evidence(range(0), range(0), sent=sent, notes=[], broker=broker))
    assert (verdict.never_admitted, verdict.failures) == (1, [])


@pytest.mark.parametrize(
    ("broker", "kinds", "may"),
    [
        ("redis", (), 0),
        ("redis", ("sigkill_child", "sigterm"), 0),
        ("redis", ("sigkill_worker",), 1),
        ("redis", ("drop_broker",), 3),
        ("rabbitmq", ("sigkill_worker", "drop_broker", "broker_restart"), 0),
    ],
)
def test_what_a_broker_confirmed_is_admitted_but_for_what_redis_may_lose(
    broker: str, kinds: tuple[str, ...], may: int
) -> None:
    found = evidence(range(0), range(0), faults=tuple(fault(kind, 0.5) for kind in kinds), notes=[])
    found.broker = broker
    found.sent = [Sent(f"run-{number}", "chaos.generator", ITEMS) for number in range(may)]
    assert not judged(found).failures
    found.sent.append(Sent("one-more", "chaos.generator", ITEMS))
    assert f"{may + 1} runs were confirmed and never admitted" in judged(found).failures[0]


def test_a_worker_in_trouble_fails() -> None:
    found = evidence(range(50), range(50, 100), troubles=["w0-1 left with 1"])
    assert judged(found).failures == ["w0-1 left with 1"]


def test_a_slow_recovery_fails() -> None:
    killed = (fault("sigkill_worker", 0.5),)
    verdict = judged(evidence(range(50), range(50, 100), faults=killed, resumed=8.4))
    assert not verdict.failures
    assert verdict.recoveries[0].seconds == pytest.approx(7.9)
    verdict = judged(evidence(range(50), range(50, 100), faults=killed, resumed=8.6))
    assert "recovery took 8.10 s" in verdict.failures[0]


def test_the_queue_is_left_out_once_the_message_is_in_it() -> None:
    found = evidence(range(50), range(50, 100), faults=(fault("sigkill_worker", 0.5),), resumed=9.0)
    found.duties = [Duty(FIRST, 0.0, 0.5), Duty(SECOND, 0.0)]
    for number in range(2):  # both children of the second worker are busy until second 8
        name = f"other-{number}"
        for what, at in (("begin", 1.0), ("completed", 8.0)):
            found.notes.append(Note(what, name, 1, 1, 0, 30 + number, SECOND, at))
    recovery = judged(found).recoveries[0]
    # Rescued after a lease, at 3.5: from then to 8.0 nobody could have taken it.
    assert recovery.queued == pytest.approx(4.5)
    assert recovery.seconds == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("kind", "worker", "pids", "passes"),
    [
        ("sigstop_child", SECOND, (SECOND_CHILD,), True),
        ("sigstop_child", SECOND, (SECOND_CHILD + 1,), False),
        ("sigstop_main", SECOND, (), True),
        ("sigstop_worker", SECOND, (SECOND_CHILD,), True),
        ("sigstop_worker", FIRST, (FIRST_CHILD,), False),
    ],
)
def test_the_time_in_which_the_admitting_process_was_stopped_is_left_out(
    kind: str, worker: int, pids: tuple[int, ...], passes: bool
) -> None:
    stop = Fault(2, kind, "somebody", 4.0, 8.7, worker, pids)
    faults = (fault("sigkill_worker", 0.5), stop)
    verdict = judged(evidence(range(50), range(50, 100), faults=faults, resumed=8.9))
    assert (verdict.failures == []) is passes
    assert verdict.recoveries[0].seconds == pytest.approx(3.7 if passes else 8.4)


@pytest.mark.parametrize(
    ("run", "at", "kind", "passes"),
    [
        ("run", 2.5, "plain", True),
        ("another", 2.5, "plain", False),
        ("run", 1.0, "plain", False),  # the owner wrote it back long before
        ("run", 3.5, "plain", False),  # the copy was admitted before
        ("run", 2.5, "atomic", False),
    ],
)
def test_a_copy_of_the_message_may_repeat_a_run_whose_record_vanished(
    run: str, at: float, kind: str, passes: bool
) -> None:
    vanished = Fault(1, "store_forgets", "store", at, at + 0.6, run=run)
    found = evidence(range(90), range(10, 100), faults=(vanished,), kind=kind, resumed=2.95)
    verdict = judged(found)
    assert (verdict.failures == []) is passes
    assert verdict.repeated("outage") == (80 if passes else 0)
