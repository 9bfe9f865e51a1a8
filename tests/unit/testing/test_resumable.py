"""``assert_resumable`` finds planted bugs, and lets right tasks pass."""

# mypy: allow-untyped-decorators

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from celery_graceful import IterableTask
from celery_graceful.testing import assert_resumable
from celery_graceful.testing.trials import spread

from . import planted_cursors, planted_effects, planted_state, right_worlds
from .planted import PLANTED, N
from .right import RIGHT

#: What fills the tables.
_PLANTERS = (planted_cursors, planted_effects, planted_state, right_worlds)


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found(app: Any, name: str) -> None:
    case = PLANTED[name]
    task, options = case.make(app)
    with pytest.raises(AssertionError) as failed:
        assert_resumable(task, options.pop("args", (N,)), **options)
    message = str(failed.value)
    assert message.startswith(task.name)
    for part in case.says:
        assert part in message, message


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_task_passes(app: Any, tmp_path: Path, name: str) -> None:
    task, options = RIGHT[name](app, tmp_path)
    afterwards = options.pop("afterwards", None)
    assert_resumable(task, options.pop("args", (N,)), **options)
    if afterwards is not None:
        afterwards()


def test_what_is_kept_in_the_process_is_as_before_afterwards(app: Any) -> None:
    task, _ = PLANTED["state_on_self"].make(app)
    with pytest.raises(AssertionError):
        assert_resumable(task, (N,))
    assert "total" not in vars(task)
    assert "each_iteration" not in vars(task)


def test_places_are_spread_over_a_long_run() -> None:
    assert spread(0, 4, 9) == [0, 1, 2, 3, 4]
    assert spread(0, 1000, 5) == [0, 250, 500, 750, 1000]
    assert spread(0, 7, 2) == [0, 7]
    assert spread(0, -1, 3) == []


def test_a_bug_that_shows_in_the_middle_only_is_found_when_there_are_few_items(app: Any) -> None:
    @app.task(base=IterableTask, shared=False)
    def work(n: int, *, cursor: int = 0) -> Any:
        yield from range(cursor + 1 + (cursor == 3), n + 1)

    with pytest.raises(AssertionError, match="interrupted after item 3 of 6"):
        assert_resumable(work, (6,))


def test_parts_can_be_left_out(app: Any) -> None:
    for name, part in [
        ("state_on_self", "result"),
        ("carry_after_the_yield", "carry"),
        ("inclusive_generator", "items"),
        ("total_miscounted", "total"),
        ("effects_that_cannot_be_repeated", "outcome"),
    ]:
        task, options = PLANTED[name].make(Celery(name, set_as_current=False))
        assert_resumable(task, (N,), **options, ignore=[part])


@pytest.mark.parametrize(
    "options", [{"ignore": ["rows"]}, {"ignore": "items"}, {"limit": 1}, {"flush_every": 0}]
)
def test_wrong_options(app: Any, options: dict[str, Any]) -> None:
    task, _ = RIGHT["generator"](app, Path())
    with pytest.raises(ValueError, match=r"not 'items'|not \['rows'\]|at least 2"):
        assert_resumable(task, (N,), **options)


def test_the_message_shows_the_executions(app: Any) -> None:
    task, _ = PLANTED["inclusive_class"].make(app)
    with pytest.raises(AssertionError) as failed:
        assert_resumable(task, (3,))
    assert str(failed.value).splitlines() == [
        "inclusive comes out differently when interrupted after item 2 of 3.",
        "",
        "  items of the execution that continues after 2 of 3:",
        "    undisturbed:  2",
        "    here:         1, 2",
        "",
        "  execution 1: from the beginning, 2 items (0, 1), interrupted; cursor 1 was saved",
        "  execution 2: after cursor 1, 2 items (1, 2), finished; cursor 2 was saved",
        "",
        "Look at: an inclusive cursor: the item that it names ran again. A cursor means that "
        "everything up to and including it is done; begin after it (`> cursor`, `cursor + 1`).",
    ]


def test_the_error_of_the_task_is_the_cause(app: Any) -> None:
    task, _ = PLANTED["fails_by_itself"].make(app)
    with pytest.raises(AssertionError) as failed:
        assert_resumable(task, (N,))
    assert isinstance(failed.value.__cause__, ValueError)
