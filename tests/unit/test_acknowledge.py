"""What is put off until the next job is on its way."""

from __future__ import annotations

from collections import deque

import pytest

from celery_graceful._celery.pool.prefork import NextJobFirst


@pytest.fixture
def jobs() -> deque[str]:
    return deque(["a job"])


@pytest.fixture
def done() -> list[str]:
    return []


@pytest.fixture
def later(jobs: deque[str]) -> NextJobFirst:
    return NextJobFirst(jobs)


def test_it_waits_for_the_turn_after_the_one_that_writes_the_job(
    later: NextJobFirst, done: list[str]
) -> None:
    later(lambda: done.append("first"))
    later.tick()  # the job is written at the end of this turn
    later(lambda: done.append("second"))
    assert done == []
    later.tick()
    assert done == ["first"]
    later.tick()
    assert done == ["first", "second"]
    later.tick()
    assert done == ["first", "second"]


def test_nothing_waits_when_no_job_does(
    later: NextJobFirst, jobs: deque[str], done: list[str]
) -> None:
    jobs.clear()
    later(lambda: done.append("now"))
    assert done == ["now"]


def test_nothing_waits_when_the_worker_stops(later: NextJobFirst, done: list[str]) -> None:
    later(lambda: done.append("first"))
    later.tick()
    later(lambda: done.append("second"))
    later.close()
    assert done == ["first", "second"]
    later(lambda: done.append("third"))
    assert done == ["first", "second", "third"]
    later.tick()
    later.tick()
    assert done == ["first", "second", "third"]


def test_one_that_fails_is_logged_and_keeps_nobody(
    later: NextJobFirst, done: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise OSError("the connection is gone")

    later(fail)
    later(lambda: done.append("second"))
    later.tick()
    later.tick()
    assert done == ["second"]
    assert "the connection is gone" in caplog.text
