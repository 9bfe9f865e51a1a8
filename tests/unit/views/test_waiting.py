"""Why a run does not move: every state and every cause."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celery_graceful.model.maintenance.mode import Kind, Mode, Ramp, Scope
from celery_graceful.model.run.history import Action, RunError
from celery_graceful.runs.plain_run import Run
from celery_graceful.views.waiting import Situation, why_not_moving
from celery_graceful.views.waiting.wording import moment, names, shown
from tests.unit.trust.test_printable import EVIL, UNSAFE
from tests.unit.views.made import BUSY, COMMAND, NOW, OWNER, WORKER, held, run, situation

HELD = 'held by maintenance "migration 0042" of ann@ops until 14:30:00 UTC'
EXPORTS = Scope(Kind.QUEUE, "exports")
STOPPING = replace(WORKER, stopping=True)
CUT_OFF = replace(WORKER, cut_off=True)
FAILED = replace(WORKER, failure="ImportError: no module redis")
FORCED = replace(WORKER, forced=True)
PAUSE = Action(NOW - 9, "ann", "pause", "too much load", "running → paused")
RESUME = Action(NOW - 5, "bob", "resume")
ERROR = RunError("ValueError", "row 7: no price", "Traceback …")
NOT_MIGRATED = (
    "its checkpoint has cursor_version 2, and the code has 3 and no migrate_cursor. Add one that"
    " accepts version 2, or deploy the code of version 2 again, and resume the run"
)

Case = tuple[str, Run, Situation, str]
PENDING: list[Case] = [
    ("held", run(), situation(mode=held()), HELD),
    ("queued and held by its queue", run("queued"), situation(mode=held(scope=EXPORTS)), HELD),
    (
        "held by its task",
        run(),
        situation(mode=held(scope=Scope(Kind.TASK, "shop.*"))),
        HELD,
    ),
    (
        "held without an end",
        run(),
        situation(mode=held(until=None)),
        f'held by maintenance "migration 0042" of ann@ops until {COMMAND} up',
    ),
    (
        "held twice",
        run(),
        situation(mode=Mode(holds=(*held().holds, *held(scope=EXPORTS, until=NOW + 60).holds))),
        'held by maintenance "migration 0042" of ann@ops (and 1 more) until 14:30:00 UTC',
    ),
    (
        "held, until long after its retry is due",
        run("retrying", until=NOW + 90),
        situation(mode=held()),
        HELD,
    ),
    (
        "held, and released before its retry is due",
        run("retrying", until=NOW + 90),
        situation(mode=held(until=NOW + 10)),
        "it is retried at 14:01:00 UTC",
    ),
    (
        "the mode cannot be read",
        run(),
        situation(trouble="The maintenance mode cannot be read: `graceful up` replaces it"),
        "whether maintenance holds it is not known: The maintenance mode cannot be read: `graceful"
        " up` replaces it",
    ),
    (
        "no worker",
        run(),
        situation(workers=()),
        "no worker is there; start one: celery -A shop worker",
    ),
    (
        "nobody consumes its queue",
        run(queue="mail"),
        situation(),
        "no worker consumes its queue mail; start one: celery -A shop worker -Q mail",
    ),
    (
        "nobody consumes the queue of resumed runs",
        run(),
        situation(resume_queues={"shop.export": "resumed"}),
        "no worker consumes its queue resumed; start one: celery -A shop worker -Q resumed",
    ),
    (
        "its first message is in its own queue",
        run("queued"),
        situation(workers=(BUSY,), resume_queues={"shop.export": "resumed"}),
        "it waits for a free slot on queue exports: 4 of 4 are busy on w1@host",
    ),
    (
        "no slot",
        run(),
        situation(workers=(BUSY,), lengths={"exports": 313}),
        "it waits for a free slot on queue exports, at most 312 messages ahead:"
        " 4 of 4 are busy on w1@host",
    ),
    (
        "no slot on forced workers while all else is held",
        run(),
        situation(workers=(replace(FORCED, running=4),), mode=held()),
        "it waits for a free slot on queue exports: 4 of 4 are busy on w1@host",
    ),
    (
        "the only worker stops",
        run(),
        situation(workers=(STOPPING,)),
        "no worker takes runs from its queue exports now: stopping (w1@host)",
    ),
    (
        "the only worker does not reach the store",
        run(),
        situation(workers=(CUT_OFF,)),
        "no worker takes runs from its queue exports now: cut off from the store (w1@host)",
    ),
    (
        "the plugin could not start",
        run(),
        situation(workers=(FAILED,)),
        "no worker takes runs from its queue exports now: its plugin could not start, see status"
        " (w1@host)",
    ),
    (
        "its task is gone",
        run(),
        situation(tasks=frozenset({"shop.other"})),
        "the app has no task shop.export here: if its workers have none either, deploy the code"
        " that has it",
    ),
    (
        "unroutable",
        run(unroutable="w2@host/b got it and does not know its task"),
        situation(mode=held()),
        "no worker can take its message: w2@host/b got it and does not know its task; it is sent"
        " again every 30 s",
    ),
    (
        "no message",
        run(queue=None),
        situation(),
        "its record has no message that can be read, so nobody can send it; cancel it:"
        f" {COMMAND} cancel 8f6f2c52, and start the task anew",
    ),
    (
        "a retry after an error",
        run("retrying", until=NOW + 90, error=ERROR),
        situation(),
        "it is retried at 14:01:00 UTC, after ValueError: row 7: no price",
    ),
    (
        "a retry that is due",
        run("retrying", until=NOW + 10),
        situation(workers=(BUSY,)),
        "it waits for a free slot on queue exports: 4 of 4 are busy on w1@host",
    ),
    (
        "a slow start after maintenance",
        run(),
        situation(mode=Mode(ramp=Ramp(NOW - 60, 300)), lengths={"exports": 9}),
        "work resumes slowly after maintenance, until 14:04:00 UTC, at most 8 messages ahead",
    ),
    (
        "its message is lost",
        run(orphaned=True, republished=1),
        situation(lengths={"exports": 0}),
        "its message is gone, perhaps by a purge: workers have free slots, and none has received"
        f" it; it is sent again at 14:00:20 UTC, or resend it now: {COMMAND} resend 8f6f2c52",
    ),
    (
        "queued, and never admitted",
        run("queued", orphaned=True, overdue=True, until=NOW - 1),
        situation(),
        "its message is gone, perhaps by a purge: workers have free slots, and none has received"
        f" it; it is sent again soon, or resend it now: {COMMAND} resend 8f6f2c52",
    ),
    (
        "queued just now",
        run("queued"),
        situation(lengths={"exports": 1}),
        "its message was sent, and no worker has begun it (queue exports, next in the queue); it"
        " is sent again at 14:00:20 UTC",
    ),
    (
        "on its way",
        run(),
        situation(),
        "its message is on its way (queue exports); it is sent again at 14:00:20 UTC",
    ),
]
OTHERS: list[Case] = [
    (
        "paused by somebody",
        run("paused", until=None, actions=(RESUME, PAUSE)),
        situation(),
        f'paused by ann: "too much load"; resume it: {COMMAND} resume 8f6f2c52',
    ),
    (
        "paused before there were action logs",
        run("paused", until=None),
        situation(),
        f"paused by an operator; resume it: {COMMAND} resume 8f6f2c52",
    ),
    (
        "paused, where no commands are named",
        run("paused", until=None),
        situation(command=""),
        "paused by an operator; resume it",
    ),
    (
        "paused by itself, as asked",
        run("paused", until=None, pause_after=42, actions=(PAUSE, RESUME)),
        situation(),
        f"paused itself after 42 items, as asked at its start; resume it: {COMMAND} resume"
        " 8f6f2c52",
    ),
    (
        "a checkpoint of another version",
        run("paused", until=None, reason=NOT_MIGRATED),
        situation(),
        f"paused itself: {NOT_MIGRATED.removesuffix(', and resume the run')}; resume it:"
        f" {COMMAND} resume 8f6f2c52",
    ),
    (
        "lost",
        run("running", overdue=True),
        situation(),
        "its worker w1@host was lost, or does not reach the store: its lease has expired; another"
        " worker resumes it within 60 s",
    ),
    (
        "lost, and nobody is there",
        run("running", overdue=True),
        situation(workers=()),
        "its worker w1@host was lost, or does not reach the store: its lease has expired; no worker"
        " is there to resume it: start one: celery -A shop worker",
    ),
    (
        "lost while it is held",
        run("running", overdue=True),
        situation(mode=held()),
        "its worker w1@host was lost, or does not reach the store: its lease has expired; it is"
        f" resumed when it is released: {HELD}",
    ),
    (
        "asked to pause",
        run("running", requested="pause", checkpoint_at=NOW - 5, actions=(PAUSE,)),
        situation(),
        "it pauses after the item that it is at, which began after 13:59:55 UTC"
        ' (asked by ann: "too much load")',
    ),
    (
        "asked to pause at an item that never ends",
        run("running", requested="cancel", checkpoint_at=NOW - 500),
        situation(),
        "it is cancelled after the item that it is at, which began after 13:51:40 UTC; if that"
        f" item never ends, release the run: {COMMAND} release 8f6f2c52",
    ),
    (
        "its worker is cut off",
        run("running"),
        situation(workers=(CUT_OFF,)),
        "its worker w1@host has not reached the store for a whole lease: it continues when the"
        " store answers there; else another worker resumes it",
    ),
    (
        "its worker stops",
        run("running"),
        situation(workers=(STOPPING,)),
        "its worker w1@host is stopping: it ends the item that it is at, and another worker"
        " continues",
    ),
    (
        "running, and to stop for maintenance",
        run("running"),
        situation(mode=held()),
        f"{HELD}; it stops after the item that it is at",
    ),
    (
        "the result backend is away",
        run("finishing"),
        situation(),
        "all its items are done, and its worker is storing the outcome in the result backend; if"
        " that takes long, see whether the result backend answers",
    ),
    (
        "its worker was lost at the end",
        run("finishing", overdue=True),
        situation(),
        "all its items are done, and its worker was lost while it stored the outcome; another"
        " worker stores it within 60 s",
    ),
    (
        "a state of a later version",
        run("waiting_for_shards", reason="7 of 8 shards have ended", until=None),
        situation(),
        "it is waiting_for_shards: 7 of 8 shards have ended",
    ),
    (
        "throttled",
        run("throttled", reason="replication lag 4 s", until=NOW + 30),
        situation(),
        "it is throttled until 14:00:30 UTC: replication lag 4 s",
    ),
]


@pytest.mark.parametrize(
    ("of", "around", "why"),
    [case[1:] for case in (*PENDING, *OTHERS)],
    ids=[case[0] for case in (*PENDING, *OTHERS)],
)
def test_the_sentence(of: Run, around: Situation, why: str) -> None:
    assert why_not_moving(of, around) == why


@pytest.mark.parametrize(
    ("of", "around"),
    [
        *((run(state), situation()) for state in ("running", "completed", "failed", "cancelled")),
        (run("running"), situation(workers=())),
        (run("running"), situation(workers=(FORCED,), mode=held())),
        (run("running"), situation(mode=held(interrupt=False))),
        (run("failed", overdue=True, unroutable="?"), situation(mode=held(), workers=())),
    ],
)
def test_a_run_that_moves_or_has_ended_has_none(of: Run, around: Situation) -> None:
    assert why_not_moving(of, around) is None


# -- any run ------------------------------------------------------------------------------------

_texts = st.none() | st.sampled_from([EVIL, "shutdown", "x" * 10**6, "日" * 500, ""])
_moments = st.none() | st.floats(NOW - 10**6, NOW + 10**12)
_live = st.sampled_from(["queued", "interrupted", "retrying", "paused", "finishing", "throttled"])
_workers = st.lists(
    st.builds(
        replace,
        st.just(WORKER),
        queues=st.sampled_from([(), ("exports",), (EVIL,)]),
        running=st.integers(0, 5),
        slots=st.integers(1, 4),
        cut_off=st.booleans(),
        stopping=st.booleans(),
        forced=st.booleans(),
        hostname=st.sampled_from([EVIL, "w1@host"]),
    ),
    max_size=3,
).map(tuple)
_known: dict[str, st.SearchStrategy[Any]] = {
    "task": st.sampled_from(["shop.export", EVIL]),
    "id": st.sampled_from(["8f6f2c52", EVIL, "x" * 10**6]),
    "requested": st.none() | st.sampled_from(["pause", "cancel"]),
    "reason": _texts,
    "queue": st.sampled_from([None, "exports", EVIL]),
    "worker": st.none() | st.sampled_from([OWNER, EVIL]),
    "unroutable": _texts,
    "overdue": st.booleans(),
    "orphaned": st.booleans(),
    "until": _moments,
    "checkpoint_at": _moments,
    "pause_after": st.none() | st.just(42),
    "error": st.none() | st.builds(RunError, st.just(EVIL), st.just(EVIL * 1000)),
    "actions": st.lists(
        st.builds(
            Action,
            st.floats(0, NOW),
            st.just(EVIL),
            st.sampled_from(["pause", "resume", EVIL]),
            st.just(EVIL),
        ),
        max_size=2,
    ).map(tuple),
}
_situations = st.builds(
    situation,
    workers=_workers,
    mode=st.sampled_from([Mode(), held(), held(reason=EVIL, who=EVIL, until=None)]),
    tasks=st.sampled_from([frozenset(), frozenset({"shop.export"})]),
    lengths=st.sampled_from([{}, {"exports": 0}, {"exports": 7}]),
    trouble=st.sampled_from(["", EVIL]),
)


@settings(max_examples=150, deadline=None)
@given(_live, st.fixed_dictionaries(_known), _situations)
def test_every_live_run_that_is_not_running_has_a_harmless_sentence(
    state: str, known: dict[str, Any], around: Situation
) -> None:
    why = why_not_moving(run(state, **known), around)
    assert why
    assert not UNSAFE.search(why)
    assert len(why) < 2500
    running = why_not_moving(run("running", **known), around)
    assert running is None or not UNSAFE.search(running)


def test_what_others_wrote_is_short_and_without_secrets() -> None:
    assert shown("x" * 10**6) == "x" * 199 + "…"
    assert shown("redis://:secret@host/0") == "redis://:***@host/0"
    assert names("abcdef") == "a, b, c and 3 more"
    assert names("ab") == "a and b"
    assert names("a") == "a"


def test_a_moment_of_another_day_has_its_date() -> None:
    assert moment(NOW + 60, NOW) == "14:01:00 UTC"
    assert moment(NOW + 5 * 86400, NOW) == "2025-12-05 14:00 UTC"
    assert moment(1e300, NOW) == "9999-12-31 23:59 UTC"
