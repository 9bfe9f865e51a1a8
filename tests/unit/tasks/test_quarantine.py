"""Items that fail are quarantined, up to a limit."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import Celery

from celery_graceful import IterableTask, sources
from celery_graceful.errors import DefinitionError, MaxItemErrorsExceeded
from celery_graceful.execution.quarantine import Allowance, allowance


def task_of(app: Celery, **options: Any) -> Any:
    """A task whose items fail where they are 0."""

    class Divide(IterableTask):
        name = "divide"

        def build_enumerator(self, items: list[int], *, cursor: Any) -> Any:
            return sources.sequence(items, cursor=cursor)

        def each_iteration(self, item: int, items: list[int]) -> None:
            self.carry["sum"] = self.carry.get("sum", 0) + 12 // item

        def result(self, items: list[int]) -> Any:
            return self.carry.get("sum", 0), self.progress.errors

    return app.register_task(type("Divide", (Divide,), {"__module__": __name__, **options})())


@pytest.fixture
def app() -> Iterator[Celery]:
    app = Celery("proj", broker="memory://", set_as_current=False)
    yield app
    app.close()


@pytest.mark.parametrize(
    ("option", "meaning"),
    [
        (None, None),
        (0, None),
        (3, Allowance(number=3)),
        (0.01, Allowance(share=0.01)),
        ("1%", Allowance(share=0.01)),
        (" 2.5 % ", Allowance(share=0.025)),
    ],
)
def test_what_the_option_means(option: Any, meaning: Allowance | None) -> None:
    assert allowance(option) == meaning


@pytest.mark.parametrize("option", [-1, 1.0, 1.5, "many", "x%", True, "200%", [1]])
def test_a_wrong_option_is_a_fault_of_the_definition(app: Celery, option: Any) -> None:
    task = task_of(app, max_failed_items=option)
    with pytest.raises(DefinitionError, match="max_failed_items"):
        task.delay([1])


def test_generators_cannot(app: Celery) -> None:
    @app.task(base=IterableTask, max_failed_items=3, shared=False, name="generator")
    def generator(*, cursor: Any = None) -> Iterator[int]:
        yield 1

    with pytest.raises(DefinitionError, match=r"max_failed_items.*each_iteration"):
        generator.delay()


def test_the_run_goes_on(app: Celery, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert task_of(app, max_failed_items=2)([4, 0, 3, 0, 6]) == (9, 2)
    assert (
        "the item of cursor 1 has failed and is quarantined (1 failed item in this run)"
        in caplog.text
    )
    assert "ZeroDivisionError" in caplog.text


def test_one_too_many(app: Celery) -> None:
    with pytest.raises(
        MaxItemErrorsExceeded, match=r"3 of 4 items.*max_failed_items = 2"
    ) as caught:
        task_of(app, max_failed_items=2)([0, 0, 3, 0, 6])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_share_is_not_judged_by_the_first_items(app: Celery) -> None:
    task = task_of(app, max_failed_items="5%")
    assert task([0, 0] + [1] * 98) == (98 * 12, 2)
    with pytest.raises(MaxItemErrorsExceeded):
        task([0, 0] + [1] * 18)
    with pytest.raises(MaxItemErrorsExceeded, match=r"6 of 6 items"):
        task([0] * 6 + [1] * 1000)


def test_a_share_of_a_known_total(app: Celery) -> None:
    task = task_of(app, max_failed_items="5%", count=lambda self, items: len(items))
    assert task([0] * 50 + [1] * 950) == (950 * 12, 50)
    with pytest.raises(MaxItemErrorsExceeded, match="2 of 2 items"):
        task([0] * 2 + [1] * 18)


def test_around_iteration_sees_the_error(app: Celery) -> None:
    seen: list[str] = []

    @contextmanager
    def around(self: Any, item: int, items: list[int]) -> Iterator[None]:
        try:
            yield
        except ZeroDivisionError:
            seen.append("rolled back")
            raise
        seen.append("committed")

    task = task_of(app, max_failed_items=1, around_iteration=around)
    assert task([4, 0, 3]) == (7, 1)
    assert seen == ["committed", "rolled back", "committed"]


def test_errors_that_are_retried_are_retried_first(app: Celery) -> None:
    task = task_of(app, max_failed_items=1, autoretry_for=(ZeroDivisionError,), max_retries=2)
    calls: list[Any] = []
    plain = type(task).each_iteration

    def each(self: Any, item: int, items: list[int]) -> None:
        calls.append((item, self.request.retries))
        plain(self, item, items)

    type(task).each_iteration = each
    assert task.apply(([4, 0, 3],), retry_backoff=0).get() == (7, 1)
    assert [call for call in calls if call[0] == 0] == [(0, 0), (0, 1), (0, 2)]
