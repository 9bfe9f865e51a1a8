"""Stored data does not choose how it is read: only what the app's configuration allows is."""

from __future__ import annotations

import importlib
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from celery_graceful._celery.message.bodies import check_accepted, on_its_own, read_body
from celery_graceful._celery.message.envelope import Envelope
from celery_graceful.errors import CorruptRecord
from celery_graceful.execution import results

from .attack import PICKLE, pickled, saved_error, saved_result

MakeTask = Callable[..., Any]


@pytest.fixture
def make_task() -> MakeTask:
    def make(**conf: Any) -> Any:
        app = Celery("proj", broker="memory://", backend="cache+memory://", set_as_current=False)
        app.conf.update(conf)

        @app.task(name="proj.work", shared=False)
        def work() -> None: ...

        app.finalize()
        return app.tasks["proj.work"]

    return make


# -- results -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["result", "error"])
def test_a_pickled_result_is_not_read_by_an_app_that_speaks_json(
    make_task: MakeTask, tmp_path: Path, kind: str
) -> None:
    made = tmp_path / "made"
    with pytest.raises(CorruptRecord, match=r"x-python-serialize.*accept_content"):
        results.load(make_task(), saved_result(pickled(made), PICKLE, kind=kind))
    assert not made.exists()


@pytest.mark.parametrize(
    "conf",
    [
        {"result_serializer": "pickle"},
        {"result_accept_content": ["json", "pickle"]},
        {"accept_content": ["json", PICKLE]},
    ],
    ids=lambda conf: next(iter(conf)),
)
def test_what_the_app_allows_is_read(
    make_task: MakeTask, tmp_path: Path, conf: dict[str, Any]
) -> None:
    made = tmp_path / "made"
    results.load(make_task(**conf), saved_result(pickled(made), PICKLE))
    assert made.exists()


def test_result_accept_content_takes_the_place_of_accept_content(
    make_task: MakeTask, tmp_path: Path
) -> None:
    task = make_task(accept_content=["pickle"], result_accept_content=["json"])
    with pytest.raises(CorruptRecord):
        results.load(task, saved_result(pickled(tmp_path / "made"), PICKLE))


def test_errors_are_json_whatever_else_is_allowed(make_task: MakeTask, tmp_path: Path) -> None:
    task = make_task(result_serializer="pickle")
    with pytest.raises(CorruptRecord):
        results.load(task, saved_result(pickled(tmp_path / "made"), PICKLE, kind="error"))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("encoding", ["zlib_codec", "bz2", "ZIP", "unicode_escape", "uu"])
def test_no_codec_unpacks_data(make_task: MakeTask, encoding: str) -> None:
    bomb = zlib.compress(bytes(1_000_000))
    task = make_task(result_accept_content=["application/data", "json"])
    with pytest.raises(CorruptRecord, match="Refusing to decode"):
        results.load(task, saved_result(bomb, "application/data", encoding))


@pytest.mark.parametrize(
    "saved",
    [
        "", "null", "7", "[" * 100_000, '["result"]',
        '["result", "application/json", "utf-8", "!"]',
        json.dumps(["result", ["application/json"], "utf-8", ""]),
        json.dumps(["result", "application/json", 7, "MQ=="]),
        json.dumps(["neither", "application/json", "utf-8", "MQ=="]),
        saved_result(b"{", "application/json"),
        saved_result(b"[" * 100_000, "application/json"),
        saved_result(b"1", ""),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_kind_of_error(make_task: MakeTask, saved: str) -> None:
    with pytest.raises(CorruptRecord):
        results.load(make_task(), saved)


def test_results_and_errors_come_back(make_task: MakeTask) -> None:
    for conf in ({}, {"result_serializer": "yaml"}, {"result_serializer": "pickle"}):
        task = make_task(**conf)
        assert results.load(task, results.dump(task, {"sum": [1, 2]})) == {"sum": [1, 2]}
        with pytest.raises(LookupError, match="gone"):
            results.load(task, results.dump_error(task, LookupError("gone")))
        with pytest.raises(Inner.Failure, match="gone"):
            results.load(task, results.dump_error(task, Inner.Failure("gone", 7)))


class Inner:
    class Failure(Exception): ...


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        ("os", "system"), ("builtins", "eval"), ("builtins", "SystemExit"),
        ("builtins", "KeyboardInterrupt"), ("builtins", "GeneratorExit"), ("builtins", "dict"),
        ("celery.exceptions", "Ignore"), ("celery.exceptions", "Reject"),
        ("celery.exceptions", "Retry"), ("celery.exceptions", "WorkerShutdown"),
        ("celery_graceful._celery.task.delivery", "ExecutionLeft"),
        ("billiard.exceptions", "WorkerLostError"), ("celery_graceful.errors", "CutOff"),
    ],
)  # fmt: skip
def test_a_saved_error_is_an_error_of_a_task(make_task: MakeTask, module: str, kind: str) -> None:
    importlib.import_module(module)  # only classes of loaded modules are found by name
    saved = saved_error(exc_type=kind, exc_module=module, exc_message=["id"])
    with pytest.raises(CorruptRecord, match="no task fails with"):
        results.load(make_task(), saved)


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"exc_type": 7}, {"exc_type": ["a"], "exc_module": "os"},
        {"exc_type": "X", "exc_module": 7},
    ],
)  # fmt: skip
def test_a_saved_error_without_a_class(make_task: MakeTask, fields: dict[str, Any]) -> None:
    with pytest.raises(CorruptRecord):
        results.load(make_task(), saved_error(**fields))


class Lazy:
    """As modules whose attributes are imported, and objects whose properties connect."""

    touched: bool = False

    @property
    def error(self) -> type[Exception]:
        type(self).touched = True
        return ValueError


lazy = Lazy()


@pytest.mark.parametrize(
    ("module", "kind"),
    [(__name__, "lazy.error"), ("celery_graceful", "errors.StoreError.x"), ("no.such", "Gone")],
)
def test_a_name_runs_no_code_and_becomes_a_class_of_its_own(
    make_task: MakeTask, module: str, kind: str
) -> None:
    with pytest.raises(Exception, match="said") as caught:
        results.load(
            make_task(), saved_error(exc_type=kind, exc_module=module, exc_message=["said"])
        )
    assert type(caught.value).__name__ == kind
    assert not Lazy.touched


# -- messages ------------------------------------------------------------------------------------


def envelope(body: bytes, content_type: str, encoding: str = "binary") -> Envelope:
    headers = {"id": "id", "task": "proj.work"}
    return Envelope(body, content_type, encoding, headers, {}, "", "celery", "memory://")


def test_a_pickled_message_is_neither_read_nor_sent(make_task: MakeTask, tmp_path: Path) -> None:
    app = make_task().app
    forged = envelope(pickled(tmp_path / "made"), PICKLE)
    for attempt in (
        lambda: read_body(app, forged),
        lambda: on_its_own(app, forged, {}, without="cursor"),
        lambda: check_accepted(app, forged),
    ):
        with pytest.raises(CorruptRecord, match="accept_content"):
            attempt()
    assert not (tmp_path / "made").exists()
    check_accepted(make_task(accept_content=["pickle"]).app, forged)


def test_without_accept_content_what_kombu_has_switched_off_stays_so(make_task: MakeTask) -> None:
    app = make_task(accept_content=None).app
    with pytest.raises(CorruptRecord):
        check_accepted(app, envelope(b"", PICKLE))
    check_accepted(app, envelope(b"", "application/json"))


@pytest.mark.parametrize(
    ("body", "content_type", "encoding"),
    [
        (b"{", "application/json", "utf-8"), (b"[" * 100_000, "application/json", "utf-8"),
        (b"[1, 2]", "application/json", "utf-8"), (b"[1, {}, {}]", "application/json", "utf-8"),
        (b"[[], [1], {}]", "application/json", "utf-8"),
        (zlib.compress(bytes(1000)), "application/data", "zlib_codec"),
        (b"[[], {}, {}]", "application/json", 7),
    ],
)  # fmt: skip
def test_a_damaged_body(make_task: MakeTask, body: bytes, content_type: str, encoding: Any) -> None:
    with pytest.raises(CorruptRecord, match="body of a saved message"):
        read_body(make_task().app, envelope(body, content_type, encoding))
