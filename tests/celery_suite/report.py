"""The table of all cells, and the tests that failed or differed by their names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.celery_suite.cells import Cell
from tests.celery_suite.outcomes import OUTCOMES, Session

_COLUMNS = ("celery", "broker", "without", "with", "real", "flaky", "minutes")
_LEGEND = "without, with: " + " / ".join(OUTCOMES)


def table(cells: Sequence[Cell]) -> Iterator[str]:
    """One line for each cell."""
    rows = [_COLUMNS, *(_row(cell) for cell in cells)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
    yield _LEGEND


def details(cell: Cell) -> Iterator[str]:
    """What the line of a cell cannot hold."""
    yield f"Celery {cell.version} on {cell.broker}"
    for fault in cell.faults:
        yield f"  proves nothing: {fault}"
    yield f"  processes with Graceful(app): {len(cell.graceful.installed)}"
    yield (f"  seconds: {cell.without.seconds:.0f} without, {cell.graceful.seconds:.0f} with")
    for test in _alike(cell):
        outcome, reason = cell.without.outcomes[test], cell.without.reasons[test]
        yield f"  {outcome} on both sides: {test}: {reason[:100]}"
    for trial in cell.flaky:
        yield f"  flaky: {trial.test}: {trial.told}"
        yield from _reasons(cell, trial.test)
    for trial in cell.real:
        yield f"  DIFFERENT: {trial.test}: {trial.told}"
        yield from _reasons(cell, trial.test)


def _row(cell: Cell) -> tuple[str, ...]:
    return (
        cell.version,
        cell.broker,
        _counts(cell.without),
        _counts(cell.graceful),
        str(len(cell.real)) if not cell.faults else "?",
        str(len(cell.flaky)),
        f"{cell.seconds / 60:.1f}",
    )


def _counts(session: Session) -> str:
    return "/".join(str(session.count(outcome)) for outcome in OUTCOMES)


def _alike(cell: Cell) -> Iterator[str]:
    for test, outcome in cell.without.outcomes.items():
        bad = outcome in ("failed", "error", "xpassed")
        if bad and cell.graceful.outcomes.get(test) == outcome:
            yield test


def _reasons(cell: Cell, test: str) -> Iterator[str]:
    for side, session in (("without", cell.without), ("with", cell.graceful)):
        if reason := session.reasons.get(test):
            yield f"    {side}: {reason[:200]}"
