"""Once a hand-over is saved, the message is published, or somebody is known who will do it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded

from celery_graceful import signals
from celery_graceful.errors import CorruptRecord, PublishUncertain
from celery_graceful.execution import leaving
from celery_graceful.execution.stopping import base_exceptions
from celery_graceful.model.run.verdict import Verdict


class Odd(BaseException):
    """Of the user's own."""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    done: list[Any] = []

    def hand_over(run: Any, reason: str, *, successor: bool, sent: bool) -> Any:
        done.append("successor" if successor else "goes back")
        return SimpleNamespace(verdict=Verdict.PUBLISH)

    monkeypatch.setattr(leaving, "hand_over", hand_over)
    settings = SimpleNamespace(release_timeout=7.0, lease_ttl=30.0)
    return SimpleNamespace(
        done=done,
        request=SimpleNamespace(timelimit=None),
        key="run",
        task=SimpleNamespace(),
        execution=SimpleNamespace(
            id="1",
            details={"task_id": "1"},
            work=SimpleNamespace(began=False),
            cursor=1,
            steps=1,
        ),
        leaving=False,
        left=False,
        flag=SimpleNamespace(owner_pid=0, solo=False, raised=False),
        report=SimpleNamespace(stop=lambda: None, settle=lambda seconds: None),
        ticket=SimpleNamespace(
            runtime=SimpleNamespace(settings=settings),
            check_successor=lambda: None,
            publish=lambda: done.append("published"),
        ),
    )


def raising(*errors: BaseException) -> Any:
    left = list(errors)

    def call(*args: Any, **details: Any) -> None:
        if left:
            raise left.pop(0)

    return call


ERRORS = [
    *(SoftTimeLimitExceeded(), MemoryError(), ValueError("encode"), Reject("x"), SystemExit(1)),
    *(KeyboardInterrupt(), Odd(), GeneratorExit()),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_whatever_is_raised_before_it_is_published(
    run: Any, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_exceptions, "_is_interrupted_by_terminal", lambda: False)
    run.report.settle = raising(error)
    with pytest.raises(Ignore):
        leaving.leave(run, "max_execution_time")
    assert run.done == ["successor", "published"]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_whatever_a_receiver_raises(
    run: Any, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_exceptions, "_is_interrupted_by_terminal", lambda: False)

    def receiver(sender: Any, **details: Any) -> None:
        raise error

    def emit(signal: Any, sender: Any, **details: Any) -> None:
        if signal is signals.run_interrupted:
            receiver(sender)

    monkeypatch.setattr(signals, "emit", emit)
    with pytest.raises(Ignore):
        leaving.leave(run, "max_execution_time")
    assert run.done == ["successor", "published"]


def test_a_soft_time_limit_that_strikes_while_it_is_published(run: Any) -> None:
    failing = raising(SoftTimeLimitExceeded())
    run.ticket.publish = lambda: (failing(), run.done.append("published"))
    with pytest.raises(Ignore):
        leaving.leave(run, "max_execution_time")
    assert run.done == ["successor", "published"]


@pytest.mark.parametrize("error", [ValueError("x"), MemoryError(), PublishUncertain("?"), Odd()])
def test_what_cannot_be_published_is_left_to_a_rescuer_and_logged(
    run: Any, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    run.ticket.publish = raising(error, error)
    with pytest.raises(Ignore):
        leaving.leave(run, "max_execution_time")
    assert "is published again by a worker after one lease" in caplog.text


def test_a_stop_goes_through(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is not acknowledged then, and a worker publishes after a lease."""
    monkeypatch.setattr(base_exceptions, "is_ending", lambda: True)
    run.ticket.publish = raising(SystemExit(0))
    with pytest.raises(SystemExit):
        leaving.leave(run, "max_execution_time")


def test_the_message_in_hand_goes_back_where_no_other_can_be_made(run: Any) -> None:
    run.ticket.check_successor = raising(CorruptRecord("no message"))
    with pytest.raises(Reject) as caught:
        leaving.leave(run, "max_execution_time")
    assert caught.value.requeue  # type: ignore[attr-defined]
    assert run.done == ["goes back"]
