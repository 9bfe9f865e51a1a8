"""The main process's view of runs whose surroundings raise, and of messages of protocol 1."""

from __future__ import annotations

import json
import types
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from billiard.einfo import ExceptionInfo
from billiard.exceptions import WorkerLostError
from celery import Celery
from celery.app.task import Context
from celery.worker import state as _typed_state
from celery.worker import strategy as _typed_strategy
from celery.worker.request import Request
from kombu.serialization import dumps, loads

from celery_graceful import IterableTask
from celery_graceful._celery.consumer import run_hooks
from celery_graceful._celery.consumer.request import RunRequest
from celery_graceful._celery.message.envelope import capture
from celery_graceful._celery.message.headers import GENERATION
from celery_graceful._celery.pool.in_process import report_base_exceptions
from celery_graceful.errors import BaseExceptionRaised, NotResumable
from celery_graceful.runs.admit import admit

state: Any = _typed_state
strategy: Any = _typed_strategy
proto1_to_proto2 = strategy.proto1_to_proto2
hybrid_to_proto2 = strategy.hybrid_to_proto2


@pytest.fixture
def app() -> Any:
    app = Celery("proj", broker="memory://", backend="cache+memory://", set_as_current=False)

    @app.task(base=IterableTask, name="proj.work", shared=False)
    def work(*args: Any, cursor: Any = None, **kwargs: Any) -> Any:
        yield 1

    app.finalize()
    app.backend.forget("the-id")  # all apps of a process share what is in memory
    yield app
    app.close()


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Any:
    listener = Mock()
    listener.killed.return_value = True
    monkeypatch.setattr(run_hooks, "_NONE", run_hooks.RunHooks(listener=listener))
    return listener


def message_of(body: Any, **fields: Any) -> Any:
    content_type, encoding, data = dumps(body, fields.pop("serializer", "json"))
    return SimpleNamespace(
        body=data,
        payload=body,
        headers=fields.pop("headers", {}),
        properties=fields.pop("properties", {}),
        delivery_info={"exchange": "celery", "routing_key": "celery"},
        content_type=content_type,
        content_encoding=encoding,
        **fields,
    )


def request_of(app: Any, message: Any, convert: Any = proto1_to_proto2) -> Any:
    body, headers, decoded, utc = convert(message, dict(message.payload))
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


#: As a client in another language sends it.
BARE = {"id": "the-id", "task": "proj.work", "args": [1], "kwargs": {}}
CALLBACK: dict[str, Any] = {
    "task": "proj.callback",
    "args": [],
    "kwargs": {},
    "options": {},
    "subtask_type": None,
}
BODY = {
    "task": "proj.work",
    "id": "the-id",
    "args": [1, "two"],
    "kwargs": {"three": [3]},
    "retries": 2,
    "eta": None,
    "expires": "2999-01-01T00:00:00",
    "utc": True,
    "taskset": "a-group",
    "timelimit": [60, 50],
    "callbacks": [CALLBACK],
    "errbacks": [CALLBACK],
    "chord": {"task": "proj.chord"},
}


@pytest.mark.parametrize("convert", [proto1_to_proto2, hybrid_to_proto2])
@pytest.mark.parametrize("serializer", ["json", "pickle"])
def test_a_message_of_protocol_1_can_be_published_again(
    app: Any, convert: Any, serializer: str
) -> None:
    body = BODY if convert is proto1_to_proto2 else {**BODY, "group": "a-group"}
    message = message_of(body, headers={"custom": 1}, serializer=serializer)
    request = request_of(app, message, convert)
    envelope = capture(Context(request._request_dict), "memory://")
    assert envelope is not None
    again = envelope.continued(1, "{}")
    headers = again.headers
    assert (headers["task"], headers["id"], headers["retries"]) == ("proj.work", "the-id", 2)
    assert (headers["group"], list(headers["timelimit"])) == ("a-group", [60, 50])
    assert (headers["custom"], headers["expires"]) == (1, None)
    args, kwargs, embed = loads(
        again.body, again.content_type, again.content_encoding, accept=[again.content_type]
    )
    assert (list(args), kwargs) == ([1, "two"], {"three": [3]})
    assert (embed["callbacks"], embed["errbacks"]) == ([CALLBACK], [CALLBACK])
    assert embed["chord"] == {"task": "proj.chord"}
    json.dumps(dict(headers))


def test_a_bare_message_of_another_client(app: Any) -> None:
    envelope = capture(Context(request_of(app, message_of(BARE))._request_dict), "memory://")
    assert envelope is not None
    assert envelope.headers["id"] == "the-id"


def test_the_generation_of_a_retry_by_protocol_1_is_seen(app: Any) -> None:
    message = message_of(BODY, headers={GENERATION: 3})
    assert request_of(app, message).generation == 3


def test_what_cannot_be_written_again_is_not_admitted(
    app: Any, caplog: pytest.LogCaptureFixture
) -> None:
    message = message_of({**BODY})
    message.content_type = "application/x-read-only"
    request = request_of(app, message)
    context = Context(request._request_dict)
    assert "cannot be written again" in caplog.text
    runtime: Any = SimpleNamespace(broker="memory://")
    with pytest.raises(NotResumable, match=r"proj\.work\[the-id\]"):
        admit(runtime, "proj.work", context, "worker")


# -- exceptions beside the run -------------------------------------------------------------------


class Odd(BaseException):
    """Of the user's own."""


def info_of(exc: BaseException) -> Any:
    try:
        raise exc
    except BaseException:
        return ExceptionInfo()


@pytest.mark.parametrize("exc", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), Odd()])
def test_what_a_hook_raises_fails_the_run_once(app: Any, listener: Any, exc: BaseException) -> None:
    request = request_of(app, message_of(BARE))
    request.on_failure(info_of(exc))
    assert listener.killed.call_args.args[2] == "failed"
    assert not listener.child_lost.called
    assert request.on_ack.called
    assert not request.on_reject.called
    meta = app.backend.get_task_meta("the-id", cache=False)
    assert meta["status"] == "FAILURE"
    assert type(meta["result"]) is BaseExceptionRaised


def test_an_outcome_that_is_stored_stays(app: Any, listener: Any) -> None:
    app.backend.store_result("the-id", 7, "SUCCESS")
    request = request_of(app, message_of(BARE))
    request.on_failure(info_of(SystemExit(1)))
    assert listener.killed.call_args.args[2] == "completed"
    assert app.backend.get_task_meta("the-id", cache=False)["result"] == 7
    assert request.on_ack.called


def test_a_run_that_another_execution_has_is_left_alone(app: Any, listener: Any) -> None:
    listener.killed.return_value = False
    request = request_of(app, message_of(BARE))
    request.on_failure(info_of(SystemExit(1)))
    assert app.backend.get_task_meta("the-id", cache=False)["status"] == "PENDING"
    assert request.on_ack.called


@pytest.mark.parametrize("how", ["cut off", "stopping", "lost"])
def test_stops_and_crashes_are_as_before(
    app: Any, listener: Any, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_of(app, message_of(BARE))
    exc: BaseException = SystemExit(0)
    if how == "cut off":
        request.cut_off = True
    elif how == "stopping":
        monkeypatch.setattr(state, "should_stop", 0)
    else:
        exc = WorkerLostError("signal 9 (SIGKILL)")
    request.on_failure(info_of(exc))
    assert listener.child_lost.called
    assert not listener.killed.called
    assert request.on_reject.called


class Pool:
    """As a pool of threads, which passes what it cannot return to the wrong callback."""

    def on_apply(self, target: Any, args: Any, kwargs: Any, callback: Any = None) -> None:
        callback(info_of(WorkerLostError("SystemExit(3)")))


def test_a_pool_without_processes_reports_a_run(app: Any, listener: Any) -> None:
    pool = Pool()
    report_base_exceptions(pool)
    request = request_of(app, message_of(BARE))
    pool.on_apply(None, (), {}, callback=request.on_success)
    assert listener.killed.called
    assert request.on_ack.called


def test_a_plain_task_is_left_to_celery_and_no_longer_active(app: Any) -> None:
    pool = Pool()
    report_base_exceptions(pool)
    request = Mock(spec=Request, id="plain", __hash__=lambda self: 1)
    state.active_requests.add(request)

    def on_success(self: Any, failed__retval__runtime: Any) -> None:
        _, _, _ = failed__retval__runtime

    with pytest.raises(TypeError):
        pool.on_apply(None, (), {}, callback=types.MethodType(on_success, request))
    assert request not in state.active_requests
