"""Hard time limits: the run and its message agree, whatever Celery does with the message."""

# mypy: allow-untyped-decorators
from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import celery
import pytest
from billiard.einfo import ExceptionInfo
from billiard.exceptions import TimeLimitExceeded
from celery import Celery
from celery.worker import state as _typed_state
from celery.worker import strategy as _typed_strategy
from kombu.serialization import dumps

from celery_graceful import IterableTask
from celery_graceful._celery.consumer import run_hooks
from celery_graceful._celery.consumer.request import RunRequest

state: Any = _typed_state
strategy: Any = _typed_strategy
BODY = {"id": "the-id", "task": "proj.work", "args": [1], "kwargs": {}}


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes a request, on an app with settings; and what is told of it."""
    apps = []

    def make(**conf: Any) -> tuple[Any, Any]:
        app = Celery("proj", broker="memory://", backend="cache+memory://", set_as_current=False)
        apps.append(app)
        app.conf.update(conf)

        @app.task(base=IterableTask, name="proj.work", shared=False)
        def work(*args: Any, cursor: Any = None, **kwargs: Any) -> Any:
            yield 1

        app.finalize()
        app.backend.forget("the-id")
        listener = Mock()
        listener.killed.return_value = True
        monkeypatch.setattr(run_hooks, "_NONE", run_hooks.RunHooks(listener=listener))
        return _request(app), listener

    yield make
    for app in apps:
        app.close()


def _request(app: Any) -> Any:
    content_type, encoding, data = dumps(BODY, "json")
    message: Any = SimpleNamespace(
        body=data,
        payload=BODY,
        headers={},
        properties={},
        delivery_info={"exchange": "celery", "routing_key": "celery"},
        content_type=content_type,
        content_encoding=encoding,
    )
    body, headers, decoded, utc = strategy.proto1_to_proto2(message, dict(BODY))
    return RunRequest(
        message,
        on_ack=Mock(),
        on_reject=Mock(),
        app=app,
        hostname="here",
        eventer=None,
        task=app.tasks["proj.work"],
        connection_errors=(),
        body=body,
        headers=headers,
        decoded=decoded,
        utc=utc,
    )


def limit_strikes(request: Any) -> None:
    """As billiard says it, before it kills the child."""
    try:
        raise TimeLimitExceeded(3)
    except TimeLimitExceeded:
        request.on_failure(ExceptionInfo())
    request.on_timeout(soft=False, timeout=3)


def state_of(request: Any) -> str:
    return str(request.task.backend.get_task_meta("the-id", cache=False)["status"])


since_57 = celery.VERSION[:2] >= (5, 7)
BOTH: list[dict[str, Any]] = [{}, {"task_acks_late": True}, {"task_acks_late": False}]
ACKED: list[dict[str, Any]] = [
    {},
    {"task_acks_on_failure_or_timeout": True},
    {"task_reject_on_worker_lost": True},
    {"task_reject_on_worker_lost": False},
]
KEPT: list[dict[str, Any]] = [
    {"task_acks_on_failure_or_timeout": False},
    {"task_acks_on_failure_or_timeout": False, "task_reject_on_worker_lost": False},
]
if since_57:
    ACKED += [
        {"task_acks_on_failure": False},
        {"task_acks_on_failure": False, "task_acks_on_timeout": True},
        {"task_acks_on_failure_or_timeout": False, "task_acks_on_timeout": True},
    ]
    KEPT += [
        {"task_acks_on_timeout": False},
        {"task_acks_on_timeout": False, "task_acks_on_failure": True},
        {"task_acks_on_failure_or_timeout": True, "task_acks_on_timeout": False},
    ]


@pytest.mark.parametrize("late", BOTH, ids=str)
@pytest.mark.parametrize("conf", ACKED, ids=str)
def test_a_run_that_fails_at_its_limit_is_not_delivered_again(
    make: Any, conf: Any, late: Any
) -> None:
    request, listener = make(**conf, **late)
    limit_strikes(request)
    assert listener.killed.call_args.args[2] == "failed"
    assert not listener.child_lost.called
    assert state_of(request) == "FAILURE"
    assert request.on_ack.called
    assert not request.on_reject.called


@pytest.mark.parametrize("late", BOTH, ids=str)
@pytest.mark.parametrize("conf", KEPT, ids=str)
def test_a_run_whose_message_goes_back_goes_on(make: Any, conf: Any, late: Any) -> None:
    request, listener = make(**conf, **late)
    told = []
    listener.child_lost.side_effect = lambda *args, **kwargs: told.append(request.on_reject.called)
    limit_strikes(request)
    assert told == [False], "its lease is free before another worker has the message"
    assert listener.child_lost.call_args.kwargs.get("crashed", True), "counted: it may be stuck"
    assert not listener.killed.called
    assert state_of(request) == "PENDING"
    assert not request.on_ack.called
    assert request.on_reject.call_args.args[-1] is True
    assert request not in state.active_requests


@pytest.mark.parametrize("conf", KEPT, ids=str)
def test_where_only_the_limit_is_told_the_run_fails_and_its_message_is_gone(
    make: Any, conf: Any
) -> None:
    """As gevent's pool does: the task has seen its end itself."""
    request, listener = make(**conf)
    request.on_timeout(soft=False, timeout=3)
    assert listener.killed.called
    assert state_of(request) == "FAILURE"
    assert not [call for call in request.on_reject.call_args_list if call.args[-1]]


@pytest.mark.skipif(not since_57, reason="a setting of Celery 5.7")
def test_a_failure_without_acknowledgement_is_not_delivered_again(make: Any) -> None:
    request, listener = make(task_acks_on_failure=False)
    try:
        raise ValueError("failed")
    except ValueError:
        request.on_success((True, ExceptionInfo(), 0.1))
    assert not listener.child_lost.called
    assert request.on_reject.call_args.args[-1] is False, "Celery drops it, or dead-letters it"
