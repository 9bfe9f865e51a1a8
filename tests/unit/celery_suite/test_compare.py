"""A comparison that passes all proves nothing: it has to name what the plugin changes."""

from __future__ import annotations

import pytest

from tests.celery_suite.cells import Cell
from tests.celery_suite.compare import Trial, differing
from tests.celery_suite.outcomes import Session
from tests.celery_suite.report import details, table


def test_the_same_outcomes_do_not_differ_failures_included() -> None:
    outcomes = {"a": "passed", "b": "failed", "c": "skipped"}

    assert differing(outcomes, dict(reversed(outcomes.items()))) == []


@pytest.mark.parametrize(
    "graceful",
    [{"a": "failed", "b": "passed"}, {"b": "passed"}, {"a": "skipped", "b": "passed"}],
    ids=["another outcome", "not run", "skipped"],
)
def test_a_test_that_is_not_the_same_differs(graceful: dict[str, str]) -> None:
    assert differing({"a": "passed", "b": "passed"}, graceful) == ["a"]


def test_a_test_that_only_the_plugin_runs_differs() -> None:
    assert differing({}, {"a": "passed"}) == ["a"]


def _trial(without: int, graceful: int, of: int = 10) -> Trial:
    """How many of ``of`` repeats failed on each side."""

    def outcomes(failed: int) -> list[str]:
        return ["failed"] * failed + ["passed"] * (of - failed)

    return Trial("a", outcomes(without), outcomes(graceful))


@pytest.mark.parametrize(
    ("without", "graceful", "real"),
    [
        (0, 10, True),
        (10, 0, True),  # the plugin must not make a failing test pass either
        (0, 4, True),
        (0, 3, False),
        (0, 0, False),
        (10, 10, False),
        (5, 5, False),
        (5, 3, False),
        (3, 9, True),
    ],
)
def test_a_difference_is_real_when_chance_would_hardly_make_it(
    without: int, graceful: int, real: bool
) -> None:
    assert _trial(without, graceful).is_real is real


def test_a_difference_that_was_not_tried_again_counts_as_real() -> None:
    assert Trial("a", [], []).is_real


def _cell(*trials: Trial) -> Cell:
    without = Session(outcomes={"a": "passed", "b": "failed"}, reasons={"a": "", "b": "no queue"})
    graceful = Session(outcomes={"a": "failed", "b": "failed"}, reasons={"a": "lost", "b": "?"})
    return Cell("5.7.0", "redis", without, graceful, trials=list(trials))


def test_a_real_difference_is_named_and_fails() -> None:
    cell = _cell(_trial(0, 10))

    assert not cell.is_good
    told = "\n".join(details(cell))
    assert "DIFFERENT: a: 10 passed / 10 failed\n    with: lost" in told
    assert "failed on both sides: b: no queue" in told
    row = list(table([cell]))[1].split()
    assert row[:6] == ["5.7.0", "redis", "1/1/0/0/0/0", "0/2/0/0/0/0", "1", "0"]


def test_a_flaky_test_is_named_and_passes() -> None:
    cell = _cell(_trial(1, 2))

    assert cell.is_good
    assert "flaky: a: 9 passed, 1 failed / 8 passed, 2 failed" in "\n".join(details(cell))


def test_a_comparison_that_proves_nothing_fails() -> None:
    cell = _cell()
    cell.faults.append("with: no app got Graceful(app)")

    assert not cell.is_good
    assert "proves nothing: with: no app got Graceful(app)" in "\n".join(details(cell))
