"""What is put off until the next job is on its way."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import pytest
from celery.worker import state

from celery_graceful._celery.acknowledge import NextJobFirst


@pytest.fixture
def jobs() -> deque[str]:
    return deque(["a job"])


@pytest.fixture
def done() -> list[str]:
    return []


@pytest.fixture
def later(jobs: deque[str]) -> NextJobFirst:
    return NextJobFirst(jobs)


@pytest.fixture
def stopping() -> Iterator[None]:
    state.should_stop = 0  # type: ignore[assignment]
    yield
    state.should_stop = None


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


@pytest.mark.usefixtures("stopping")
def test_nothing_waits_when_the_worker_stops(later: NextJobFirst, done: list[str]) -> None:
    later(lambda: done.append("now"))
    assert done == ["now"]


def test_a_stop_waits_for_nothing(later: NextJobFirst, done: list[str]) -> None:
    later(lambda: done.append("first"))
    later.tick()
    later(lambda: done.append("second"))
    later.flush()
    assert done == ["first", "second"]
    later.tick()
    later.tick()
    assert done == ["first", "second"]


def test_one_that_fails_does_not_keep_the_others(later: NextJobFirst, done: list[str]) -> None:
    def fail() -> None:
        raise OSError("the connection is gone")

    later(fail)
    later(lambda: done.append("second"))
    later.tick()
    with pytest.raises(OSError, match="gone"):
        later.tick()
    later.tick()
    later.tick()
    assert done == ["second"]
