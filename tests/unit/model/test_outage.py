"""When runs wait for their store."""

from __future__ import annotations

import pytest

from celery_graceful.model.outage import FIRST_PAUSE, LONGEST_PAUSE, Outage

ANSWERED = Outage().answered()


def test_runs_wait_until_the_store_has_answered_once() -> None:
    assert Outage().waits(0.0)
    assert Outage().failed().waits(0.0)
    assert not ANSWERED.waits(0.0)


def test_one_failure_is_no_outage() -> None:
    once = ANSWERED.failed()
    assert not once.waits(0.0)
    assert once.failed().waits(0.0)
    assert once.failed().waits(1e9), "for as long as it takes"
    assert not once.failed().answered().waits(0.0)
    assert not once.answered().failed().waits(0.0)


def test_a_refusal_holds_up_runs_for_a_while() -> None:
    refused = ANSWERED.refused(100.0)
    assert refused.answered().waits(100.0)
    assert refused.waits(100.0 + 0.9 * FIRST_PAUSE)
    assert not refused.waits(100.0 + FIRST_PAUSE)


def test_several_refusals_of_one_moment_are_one() -> None:
    assert ANSWERED.refused(100.0).refused(100.1) == ANSWERED.refused(100.0)


def test_each_refusal_after_the_last_holds_up_runs_for_longer() -> None:
    now, outage, pauses = 0.0, ANSWERED, []
    for _ in range(8):
        outage = outage.refused(now)
        pauses.append(outage.until - now)
        now = outage.until + 0.5
    assert pauses[:3] == pytest.approx([FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE])
    assert max(pauses) == pytest.approx(LONGEST_PAUSE)
    later = outage.refused(now + 3 * LONGEST_PAUSE)
    assert later.pause == FIRST_PAUSE, "it was in order for long"
