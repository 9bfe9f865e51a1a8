"""What the store keeps of a result: no more than Celery would."""

# mypy: allow-untyped-decorators
from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from celery_graceful.errors import CorruptRecord
from celery_graceful.execution import results
from tests.unit.tasks.conftest import MakeApp


def task_of(app: Any) -> Any:
    @app.task(name="proj.work", shared=False)
    def work() -> None:
        """Nothing."""

    return app.tasks["proj.work"]


def request(**fields: Any) -> Any:
    given = {"callbacks": None, "chain": None, "chord": None, "id": "1", **fields}
    return SimpleNamespace(**given)


def test_a_result_is_kept_and_read_back(make_app: MakeApp) -> None:
    task = task_of(make_app())
    saved = results.kept(task, request(), {"a": [1, (2,)]})
    assert saved is not None
    assert results.load(task, saved) == {"a": [1, [2]]}


def test_what_cannot_be_written_is_not_kept(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    assert results.kept(task_of(make_app()), request(), object()) is None
    assert "proj.work[1]: the result cannot be kept" in caplog.text


@pytest.mark.parametrize("result", [object(), 7])
def test_nothing_is_asked_of_a_result_that_nobody_wants(make_app: MakeApp, result: Any) -> None:
    task = task_of(make_app())
    saved = results.kept(task, request(ignore_result=True), result)
    assert saved is not None
    assert results.load(task, saved) is None


def test_nor_without_a_result_backend(make_app: MakeApp) -> None:
    app = make_app()
    app.conf.result_backend = "disabled://"
    app._local = type(app._local)()
    task = task_of(app)
    assert type(task.backend).__name__ == "DisabledBackend"
    assert results.kept(task, request(), object()) is not None


@pytest.mark.parametrize("tie", ["callbacks", "chain", "chord"])
def test_what_is_passed_on_is_kept_though_it_is_ignored(make_app: MakeApp, tie: str) -> None:
    task = task_of(make_app())
    saved = results.kept(task, request(ignore_result=True, **{tie: ["x"]}), 7)
    assert saved is not None
    assert results.load(task, saved) == 7


class Unshowable(Exception):
    def __init__(self) -> None:
        super().__init__(object())

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


def test_an_error_can_always_be_kept(make_app: MakeApp) -> None:
    for conf in ({}, {"result_serializer": "pickle", "accept_content": ["json", "pickle"]}):
        task = task_of(make_app(**conf))
        saved = results.dump_error(task, Unshowable())
        with pytest.raises(Exception) as caught:  # noqa: PT011 - of whatever class can be made
            results.load(task, saved)
        assert not isinstance(caught.value, CorruptRecord)
        assert "Unshowable" in repr(caught.value)
