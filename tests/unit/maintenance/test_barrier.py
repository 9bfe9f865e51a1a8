"""Who is waited for, as a table."""

from __future__ import annotations

from typing import Any

import pytest

from celery_graceful.maintenance.barrier import BarrierState, judge
from celery_graceful.maintenance.barrier import WorkerState as State
from celery_graceful.maintenance.broker_replies import BrokerReplies
from celery_graceful.maintenance.workers import KnownWorker, decode_report, encode_report
from celery_graceful.model.maintenance.mode import EVERYTHING, Hold, Kind, Mode, Scope
from tests.unit.maintenance.workers import IMPORT, MAIL, member, report

LEASE = 30.0
ALL = (EVERYTHING,)
MAILS = (Scope(Kind.QUEUE, "mail"),)
IMPORTS = (Scope(Kind.TASK, "shop.imp*"),)
SILENCE = BrokerReplies()
HERE = BrokerReplies(consuming={"w1@host": frozenset({"celery", "mail"})})


def answering(**said: Any) -> BrokerReplies:
    return BrokerReplies(consuming=HERE.consuming, reports=(report(**said),))


def judged(
    *members: KnownWorker,
    scopes: tuple[Scope, ...] = ALL,
    heard: BrokerReplies = SILENCE,
    exempt: frozenset[str] = frozenset(),
) -> BarrierState:
    mode = Mode(tuple(Hold(s, "deploy", "ann@host", 0.0) for s in scopes), version=5)
    return judge(
        mode, members, heard, lease=LEASE, heartbeat=10, queues={"celery", "mail"}, exempt=exempt
    )


@pytest.mark.parametrize(
    ("said", "scopes", "state", "blocks"),
    [
        ({}, ALL, State.PAUSED, []),
        ({"version": 9}, ALL, State.PAUSED, []),
        ({}, (), State.RUNNING, []),
        ({"version": 4}, (), State.RESUMING, []),
        ({"version": 4}, ALL, State.PAUSING, ["does not know of it yet"]),
        ({"paused": False}, ALL, State.PAUSING, ["has not yet stopped consuming"]),
        (
            {"busy": (IMPORT,)},
            ALL,
            State.PAUSING,
            ["shop.import[i1] has run for 12.0 s"],
        ),
        (
            {"version": 4, "busy": (MAIL,)},
            ALL,
            State.PAUSING,
            ["does not know of it yet", "shop.mail[m1] has run for 3.0 s"],
        ),
        ({"busy": (IMPORT,)}, MAILS, State.PARTLY, []),
        ({"busy": (MAIL,)}, MAILS, State.PAUSING, ["shop.mail[m1] has run for 3.0 s"]),
        ({"busy": (MAIL,)}, IMPORTS, State.PARTLY, []),
        ({"busy": (IMPORT,)}, IMPORTS, State.PAUSING, ["shop.import[i1] has run for 12.0 s"]),
        ({"queues": ("celery",)}, MAILS, State.RUNNING, []),
        ({"queues": ("celery",), "version": 4}, MAILS, State.PAUSING, ["does not know of it yet"]),
        ({"busy": (MAIL,), "exempt": ("mail",)}, ALL, State.PARTLY, []),
        ({"queues": ("mail",), "exempt": ("mail",)}, ALL, State.RUNNING, []),
        ({"busy": (MAIL,), "exempt": ("mail",)}, MAILS, State.RUNNING, []),
        ({"busy_count": 3}, ALL, State.PAUSING, ["runs 3 tasks that it does not name"]),
        ({"busy": (MAIL,), "version": 0, "paused": False, "forced": True}, ALL, State.FORCED, []),
        ({"version": 4, "paused": False, "cut_off": True}, ALL, State.CUT_OFF, []),
    ],
)
def test_a_worker_that_reports(
    said: dict[str, Any], scopes: tuple[Scope, ...], state: State, blocks: list[str]
) -> None:
    standing = judged(member(**said), scopes=scopes)
    (seen,) = standing.workers
    assert (seen.state, [block.why for block in seen.blocks]) == (state, blocks)
    assert standing.clear is (not blocks)


def test_what_still_runs_is_named_with_its_worker() -> None:
    (block,) = judged(member(busy=(IMPORT,))).blocks
    assert (block.worker, block.task, block.id, block.seconds) == (
        "w1@host",
        "shop.import",
        "i1",
        12.0,
    )


@pytest.mark.parametrize(
    ("age", "heard", "state", "waited_for"),
    [
        pytest.param(29, SILENCE, State.PAUSING, True, id="silent, but not for long"),
        pytest.param(31, SILENCE, State.GONE, False, id="silent on both ways"),
        pytest.param(31, HERE, State.CUT_OFF, True, id="pings, and says nothing of itself"),
        pytest.param(
            31, BrokerReplies(trouble="away"), State.CUT_OFF, True, id="nobody can be asked"
        ),
        pytest.param(31, answering(), State.CUT_OFF, False, id="answers that it is paused"),
        pytest.param(
            31,
            answering(cut_off=True, version=1),
            State.CUT_OFF,
            False,
            id="answers that it consumes nothing",
        ),
        pytest.param(
            31,
            answering(cut_off=True, version=1, busy=(IMPORT,)),
            State.CUT_OFF,
            True,
            id="answers that it still runs something",
        ),
        pytest.param(
            31, answering(version=4), State.CUT_OFF, True, id="answers, and has not heard"
        ),
        pytest.param(
            31, answering(forced=True), State.FORCED, False, id="answers that it is forced"
        ),
    ],
)
def test_a_worker_that_is_not_heard_from(
    age: float, heard: BrokerReplies, state: State, waited_for: bool
) -> None:
    standing = judged(member(age, version=4, busy=(MAIL,)), heard=heard)
    (seen,) = standing.workers
    assert (seen.state, bool(seen.blocks)) == (state, waited_for)
    assert standing.clear is not waited_for


def test_an_earlier_start_of_a_worker_that_is_back_is_forgotten() -> None:
    before = member(80, version=1, busy=(MAIL,))
    assert judged(before, member(1), heard=HERE).in_state(State.PAUSED) == ("w1@host",)
    assert len(judged(before, member(1)).workers) == 1
    assert len(judged(before, member(60), heard=SILENCE).workers) == 1


def test_a_report_that_cannot_be_read_blocks_until_its_worker_is_gone() -> None:
    fresh, old = KnownWorker("w1@host/a", None, 1.0), KnownWorker("w1@host/a", None, 31.0)
    assert judged(fresh).in_state(State.UNREADABLE) == ("w1@host",)
    assert not judged(fresh).clear
    assert not judged(old, heard=HERE).clear
    assert judged(old).in_state(State.GONE) == ("w1@host",)
    assert judged(old).clear


@pytest.mark.parametrize(
    ("queues", "scopes", "exempt", "waited_for"),
    [
        ({"celery"}, ALL, set(), "runs without celery-graceful and consumes celery"),
        ({"mail", "other"}, ALL, set(), "consumes mail:"),
        ({"other"}, ALL, set(), ""),
        (set(), ALL, set(), ""),
        ({"celery"}, MAILS, set(), ""),
        ({"celery"}, IMPORTS, set(), "consumes celery"),
        ({"celery"}, ALL, {"celery"}, ""),
        ({"celery"}, IMPORTS, {"celery"}, ""),
    ],
)
def test_a_worker_without_the_plugin(
    queues: set[str], scopes: tuple[Scope, ...], exempt: set[str], waited_for: str
) -> None:
    heard = BrokerReplies(consuming={"plain@host": frozenset(queues)})
    standing = judged(member(), scopes=scopes, heard=heard, exempt=frozenset(exempt))
    whys = [block.why for block in standing.blocks if block.worker == "plain@host"]
    assert bool(whys) is bool(waited_for)
    assert waited_for in "".join(whys)


def test_a_queue_that_only_workers_know_is_this_apps_too() -> None:
    heard = BrokerReplies(consuming={"plain@host": frozenset({"routed"})})
    assert not judged(member(queues=("routed",)), heard=heard).clear
    assert judged(member(), heard=heard).clear


def test_a_worker_of_another_app_on_a_common_queue_is_named_as_such() -> None:
    heard = BrokerReplies(
        consuming={"their@host": frozenset({"celery"})}, elsewhere={"their@host": "warehouse"}
    )
    (block,) = judged(heard=heard).blocks
    assert "for another app (warehouse)" in str(block)


def test_a_worker_that_never_reached_the_store_counts_by_its_answer() -> None:
    assert not judged(heard=answering(version=-1, paused=False)).clear
    assert judged(heard=answering(version=-1, paused=False, cut_off=True)).clear


def test_nobody_there_is_nobody_to_wait_for() -> None:
    assert judged().clear
    assert judged().live == ()


def test_one_that_sends_heartbeats_is_not_gone() -> None:
    beating = BrokerReplies(beating=frozenset({"w1@host"}))
    standing = judged(member(31.0, version=4), heard=beating)
    (seen,) = standing.workers
    assert seen.state is State.CUT_OFF
    assert "it sends heartbeats, and does not answer" in str(seen.blocks[0])
    assert judged(member(31.0, version=4), heard=BrokerReplies(beating=frozenset())).clear


def test_one_without_a_store_that_has_not_acknowledged_blocks() -> None:
    standing = judged(member(31.0, version=4), heard=answering(version=4, paused=False))
    assert [str(block) for block in standing.blocks] == ["w1@host: does not know of it yet"]


def test_one_whose_plugin_failed_is_named() -> None:
    heard = BrokerReplies(
        consuming={"w1@host": frozenset({"mail"})}, failures={"w1@host": "graceful_x is wrong"}
    )
    (seen,) = judged(heard=heard).workers
    assert (seen.state, seen.failure) == (State.FAILED, "graceful_x is wrong")
    assert "could not start on it, and it consumes mail" in str(seen.blocks[0])
    assert judged(scopes=(Scope(Kind.QUEUE, "celery"),), heard=heard).clear, "it consumes another"


def test_a_report_of_a_later_version_can_be_read() -> None:
    text = encode_report(report()).replace('"pid"', '"later":1,"pid"')
    assert decode_report(text) == report()
