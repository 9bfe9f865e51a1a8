"""What a task leaves to be done at its end is done, once, whatever ends it."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery

from celery_graceful import at_task_exit
from celery_graceful.errors import NoRunError


@pytest.fixture
def app() -> Celery:
    return Celery("at-exit", set_as_current=False)


def test_last_in_first_out_on_success_and_error(app: Celery) -> None:
    done: list[Any] = []

    @app.task(name="work", shared=False)
    def work(fail: bool) -> None:
        at_task_exit(done.append, 1)
        at_task_exit(done.append, 2)

        @at_task_exit
        def third() -> None:
            done.append(3)

        if fail:
            raise KeyError

    for fail in (False, True):
        work.apply((fail,))
        assert done == [3, 2, 1]
        done.clear()


def test_one_that_fails_is_logged_and_keeps_nothing_from_running(
    app: Celery, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[int] = []

    @app.task(name="work", shared=False)
    def work() -> str:
        at_task_exit(done.append, 1)
        at_task_exit(lambda: 1 / 0)
        at_task_exit(done.append, 2)
        return "well"

    assert work.apply().get() == "well"
    assert done == [2, 1]
    assert "ZeroDivisionError" in caplog.text


def test_tasks_within_tasks_have_their_own(app: Celery) -> None:
    done: list[str] = []

    @app.task(name="inner", shared=False)
    def inner() -> None:
        at_task_exit(done.append, "inner")

    @app.task(name="outer", shared=False)
    def outer() -> None:
        at_task_exit(done.append, "outer")
        inner.apply()
        assert done == ["inner"]

    outer.apply()
    assert done == ["inner", "outer"]


def test_it_needs_a_task(app: Celery) -> None:
    @app.task(name="work", shared=False)
    def work() -> None:
        at_task_exit(print)

    with pytest.raises(NoRunError, match=r"task\.apply"):
        at_task_exit(print)
    with pytest.raises(NoRunError):
        work()
