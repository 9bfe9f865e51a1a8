"""Items per second of each execution over time, as the geometry of a small SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from celery_graceful.model.run.history import PastExecution
from celery_graceful.web.rendering.shown_values import duration, number

#: Units of the view box: the plot, and what is left of it and below for words.
WIDTH, HEIGHT, LEFT, BELOW = 600, 120, 0, 18
#: A bar is this wide at least, so that short executions can be seen.
_LEAST = 2.0
#: The share of the height that the highest bar takes.
_TALLEST = 0.92


@dataclass(frozen=True, slots=True)
class Bar:
    """One execution."""

    x: float
    y: float
    width: float
    height: float
    #: Said by screen readers, and shown under the pointer.
    text: str
    #: Where and why it stopped; empty while it is under way.
    stop: str
    stop_x: float


@dataclass(frozen=True, slots=True)
class Chart:
    """All of it."""

    bars: tuple[Bar, ...]
    #: The highest rate, and the moments at both ends.
    most: float
    began: float
    ended: float
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True, slots=True)
class ShownExecution:
    """An execution in the table."""

    number: int
    execution: PastExecution
    seconds: float | None
    rate: float | None


def shown_executions(
    executions: Sequence[PastExecution], count: int, until: float | None
) -> list[ShownExecution]:
    """The executions with their numbers and rates, the first first.

    Args:
        executions: the last ones.
        count: how many there were in all.
        until: when the checkpoint of the one under way was saved: its rate is that up to there.
    """
    first = max(0, count - len(executions)) + 1
    return [_shown(first + n, each, until) for n, each in enumerate(executions)]


def _shown(index: int, execution: PastExecution, until: float | None) -> ShownExecution:
    ended = execution.ended if execution.ended is not None else until
    seconds = None if ended is None else max(0.0, ended - execution.began)
    rate = execution.items / seconds if seconds else None
    return ShownExecution(index, execution, seconds, rate)


def chart_of(executions: Sequence[ShownExecution]) -> Chart | None:
    """The chart; ``None`` where there is nothing to draw."""
    drawn = [each for each in executions if each.rate is not None and each.seconds is not None]
    if not drawn:
        return None
    began = drawn[0].execution.began
    ended = max(each.execution.began + (each.seconds or 0.0) for each in drawn)
    most = max(each.rate or 0.0 for each in drawn)
    span = max(ended - began, 1e-9)
    bars = tuple(_bar(each, began, span, most) for each in drawn)
    return Chart(bars, most, began, ended)


def _bar(each: ShownExecution, began: float, span: float, most: float) -> Bar:
    seconds, rate = each.seconds or 0.0, each.rate or 0.0
    x = min(WIDTH - _LEAST, max(0.0, (each.execution.began - began) / span * WIDTH))
    width = min(WIDTH - x, max(_LEAST, seconds / span * WIDTH))
    height = max(1.0, rate / most * HEIGHT * _TALLEST) if most else 1.0
    stop = each.execution.reason or ""
    items = f"{each.execution.items:,} item{'' if each.execution.items == 1 else 's'}"
    text = f"Execution {each.number}: {items} in {duration(seconds)}, {number(rate)}/s"
    text += f"; stopped: {stop}" if stop else "; under way"
    return Bar(
        round(x, 2),
        round(HEIGHT - height, 2),
        round(width, 2),
        round(height, 2),
        text,
        stop,
        round(min(WIDTH - 1.0, x + width), 2),
    )
