"""Figures with their bounds, and how they are judged and printed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import comb
from statistics import median
from typing import Literal

#: How sure the lower bound of a median is, one-sided.
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    benchmark: str
    what: str
    median: float
    #: The worst of all rounds.
    worst: float
    #: What must not be passed; ``None``: a figure for comparison.
    bound: float | None = None
    #: Whether the bound is the most (or the least) that is allowed.
    at_most: bool = True
    #: The lower 95 % bound of the median.
    low: float | None = None
    #: What is held against the bound.
    judged: Literal["median", "low", "worst"] = "median"
    unit: str = "×"
    rounds: int = 1
    note: str = ""

    @property
    def verdict(self) -> str:
        """``ok``, ``MISSED``, or nothing where there is no bound."""
        if self.bound is None:
            return ""
        value = {"median": self.median, "low": self.low, "worst": self.worst}[self.judged]
        assert value is not None
        held = value <= self.bound if self.at_most else value >= self.bound
        return "ok" if held else "MISSED"


def ratio_at_most(
    benchmark: str, what: str, ratios: Sequence[float], bound: float | None, note: str = ""
) -> Figure:
    """A cost: the median of the rounds must not be above ``bound``."""
    return Figure(
        benchmark, what, median(ratios), max(ratios), bound, rounds=len(ratios), note=note
    )


def ratio_at_least(
    benchmark: str,
    what: str,
    ratios: Sequence[float],
    bound: float | None,
    *,
    surely: bool = False,
    note: str = "",
) -> Figure:
    """A yield: the median, or ``surely`` its lower 95 % bound, must not be below ``bound``."""
    return Figure(
        benchmark,
        what,
        median(ratios),
        min(ratios),
        bound,
        at_most=False,
        low=lower_bound(ratios),
        judged="low" if surely else "median",
        rounds=len(ratios),
        note=note,
    )


def lower_bound(values: Sequence[float]) -> float:
    """The lower bound of the values' median, sure to 95 %, whatever their distribution.

    An order statistic: that more than so many of them lie above the median is improbable. With
    fewer than five values, the smallest.
    """
    count, below, rank = len(values), 0.0, 0
    while rank < count:
        below += comb(count, rank) / 2**count
        if below > 1 - CONFIDENCE:
            break
        rank += 1
    return sorted(values)[max(rank - 1, 0)]


def as_json(figures: Sequence[Figure]) -> str:
    """All figures with their verdicts, as a JSON list."""
    return json.dumps([{**asdict(f), "verdict": f.verdict} for f in figures], indent=2)


def as_table(figures: Sequence[Figure]) -> str:
    """All figures as a table of plain text."""
    head = ("benchmark", "figure", "median", "worst", "low 95 %", "bound", "verdict", "n", "note")
    rows = [head, *(_row(figure) for figure in figures)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(line.rstrip() for line in lines)


def as_line(figure: Figure) -> str:
    """One figure, for a measurement that prints as it goes."""
    _, what, middle, worst, low, bound, verdict, _, note = _row(figure)
    parts = [f"{what}: {middle}, worst {worst}", low, bound, verdict, f"({note})" if note else ""]
    return " ".join(part for part in parts if part)


def _row(figure: Figure) -> tuple[str, ...]:
    sign = "≤" if figure.at_most else "≥"
    low = "" if figure.low is None else f"{figure.low:.3g} {figure.unit}"
    return (
        figure.benchmark,
        figure.what,
        f"{figure.median:.3g} {figure.unit}",
        f"{figure.worst:.3g} {figure.unit}",
        low,
        "" if figure.bound is None else f"{sign} {figure.bound:g}",
        figure.verdict,
        str(figure.rounds),
        figure.note,
    )
