"""A worker that was killed, and others that use its name."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery

from celery_graceful.maintenance import broker_replies
from celery_graceful.maintenance.barrier import BarrierState, WorkerState, judge
from celery_graceful.maintenance.broker_replies import NOBODY, BrokerReplies, ask_workers
from celery_graceful.maintenance.workers import KnownWorker, Report, decode_report, encode_report
from celery_graceful.model.maintenance.mode import EVERYTHING, Hold, Mode
from celery_graceful.runtime import Runtime
from tests.unit.maintenance.workers import MAIL, report

LEASE, HEARTBEAT = 30.0, 10.0
DOWN = Mode((Hold(EVERYTHING, "deploy", "ann@host", 0.0),), version=5)
QUEUES = frozenset({"celery", "mail"})
CONSUMES = {"w1@host": QUEUES}


def start(name: str, age: float, up_for: float, **said: Any) -> KnownWorker:
    """One start of the worker w1@host, by the store."""
    return KnownWorker(name, report(start=name, up_for=up_for, **said), age)


def killed(age: float, **said: Any) -> KnownWorker:
    """One that was killed at work."""
    return start("w1@host/killed", age, 500.0, version=4, paused=False, busy=(MAIL,), **said)


def says(name: str, up_for: float, **said: Any) -> Report:
    return report(start=name, up_for=up_for, **said)


def judged(*members: KnownWorker, heard: BrokerReplies | None = None) -> BarrierState:
    heard = BrokerReplies(consuming=CONSUMES) if heard is None else heard
    return judge(DOWN, members, heard, lease=LEASE, heartbeat=HEARTBEAT, queues=QUEUES)


def states(standing: BarrierState) -> list[WorkerState]:
    return [seen.state for seen in standing.workers]


def test_a_killed_worker_is_replaced_by_the_next_start_of_its_name() -> None:
    standing = judged(killed(12), start("w1@host/next", 1, 5))
    assert (states(standing), standing.clear) == ([WorkerState.PAUSED], True)


def test_it_is_replaced_by_one_that_answers_over_the_broker_alone() -> None:
    heard = BrokerReplies(consuming=CONSUMES, reports=(says("w1@host/next", 5.0),))
    standing = judged(killed(12), heard=heard)
    assert (states(standing), standing.clear) == ([WorkerState.CUT_OFF], True)


@pytest.mark.parametrize(
    ("before", "other", "heard"),
    [
        pytest.param(killed(9), start("w1@host/next", 1, 5), None, id="silent for a moment"),
        pytest.param(killed(12), start("w1@host/twin", 1, 400), None, id="a twin, older than that"),
        pytest.param(
            killed(12),
            start("w1@host/next", 1, 5),
            BrokerReplies(
                consuming=CONSUMES,
                reports=(says("w1@host/killed", 512.0, version=4, busy=(MAIL,)),),
            ),
            id="it answers for itself",
        ),
        pytest.param(
            killed(12),
            start("w1@host/next", 1, 5),
            BrokerReplies(trouble="away"),
            id="nobody was asked",
        ),
        pytest.param(
            killed(31),
            start("w1@host/twin", 1, 400),
            BrokerReplies(
                consuming=CONSUMES,
                reports=(says("w1@host/killed", 531.0, version=4, busy=(MAIL,)),),
            ),
            id="without a lease, and it answers for itself",
        ),
    ],
)
def test_a_worker_that_may_be_alive_is_waited_for(
    before: KnownWorker, other: KnownWorker, heard: BrokerReplies | None
) -> None:
    standing = judged(before, other, heard=heard)
    assert len(standing.workers) == 2
    assert not standing.clear
    assert any("shop.mail[m1]" in block.why for block in standing.blocks)


def test_one_that_is_silent_for_a_lease_is_not_seen_in_another_of_its_name() -> None:
    before = killed(31, queues=("celery", "mail"))
    theirs = {"w1@host": frozenset({"theirs"})}
    for heard in (
        BrokerReplies(consuming=theirs),  # a worker without the plugin
        BrokerReplies(consuming=theirs, elsewhere={"w1@host": "warehouse"}),
        BrokerReplies(consuming={"w1@host": frozenset()}, elsewhere={"w1@host": "warehouse"}),
    ):
        standing = judged(before, heard=heard)
        assert (states(standing), standing.clear) == ([WorkerState.GONE], True)


def test_a_stranger_of_its_name_is_waited_for_as_any_stranger() -> None:
    heard = BrokerReplies(consuming=CONSUMES, elsewhere={"w1@host": "warehouse"})
    standing = judged(killed(31), heard=heard)
    assert states(standing) == [WorkerState.STRANGER, WorkerState.GONE]
    (block,) = standing.blocks
    assert "for another app (warehouse)" in block.why


def test_who_answers_to_its_name_and_consumes_its_queues_may_be_itself() -> None:
    (seen,) = judged(killed(31)).workers
    assert seen.state is WorkerState.CUT_OFF
    assert seen.blocks


def test_it_is_listed_for_three_leases() -> None:
    assert states(judged(killed(89), heard=BrokerReplies())) == [WorkerState.GONE]
    assert states(judged(killed(91), heard=BrokerReplies())) == []


def test_a_report_names_its_start() -> None:
    said = says("w1@host/next", 12.5)
    assert decode_report(encode_report(said)) == said


# -- asking ----------------------------------------------------------------------------------


class Broker:
    """Answers as it is told, and notes what it was asked."""

    def __init__(self, consuming: list[tuple[str, list[str]]], *answers: Any) -> None:
        self._queues = [(host, [{"name": q} for q in queues]) for host, queues in consuming]
        self._answers = list(answers)
        self.asked: list[Any] = []

    def __call__(
        self, app: Celery, command: str, *, destination: Any = None, **_: Any
    ) -> list[tuple[str, Any]]:
        self.asked.append((command, destination))
        if command == "active_queues":
            return list(self._queues)
        return [("w1@host", answer) for answer in self._answers.pop(0)]


def answer(runtime: Runtime, name: str, **said: Any) -> dict[str, Any]:
    return {"namespace": runtime.namespace, "report": encode_report(says(name, 5.0, **said))}


def asking(
    monkeypatch: pytest.MonkeyPatch, broker: Broker, runtime: Runtime, *members: KnownWorker
) -> BrokerReplies:
    monkeypatch.setattr(broker_replies, "ask", broker)
    return ask_workers(runtime, members, NOBODY)


GRACEFUL = ("graceful", ["w1@host"])


def test_where_another_one_answers_for_it_both_are_asked_again(
    monkeypatch: pytest.MonkeyPatch, runtime: Runtime
) -> None:
    # The broker gives what is sent to a name to one of those that have it, by turns.
    broker = Broker(
        [("w1@host", ["celery"]), ("w1@host", ["mail"])],
        [answer(runtime, "w1@host/twin")],
        [answer(runtime, "w1@host/killed", busy=(MAIL,))],
    )
    twins = (killed(40), start("w1@host/twin", 1, 400))
    heard = asking(monkeypatch, broker, runtime, *twins)
    assert broker.asked[1:] == [GRACEFUL, GRACEFUL]
    assert heard.consuming == {"w1@host": QUEUES}
    assert [r.start for r in heard.reports] == ["w1@host/twin", "w1@host/killed"]
    assert not judged(*twins, heard=heard).clear


@pytest.mark.parametrize(
    ("members", "asked"),
    [
        pytest.param([start("w1@host/next", 1, 5)], 0, id="none is silent"),
        pytest.param([killed(12)], 1, id="it answers for itself"),
        pytest.param([killed(12), start("w1@host/next", 1, 5)], 1, id="both answer"),
        pytest.param([killed(5000), start("w1@host/next", 1, 5)], 1, id="silent for long"),
    ],
)
def test_others_are_not_asked_twice(
    monkeypatch: pytest.MonkeyPatch, runtime: Runtime, members: list[KnownWorker], asked: int
) -> None:
    own = answer(runtime, "w1@host/killed"), answer(runtime, "w1@host/next")
    broker = Broker([("w1@host", ["celery"])], own)
    asking(monkeypatch, broker, runtime, *members)
    assert broker.asked[1:] == [GRACEFUL] * asked
