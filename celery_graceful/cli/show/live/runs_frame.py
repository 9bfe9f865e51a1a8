"""The frame of ``runs --watch``: what was read goes in, lines come out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from celery_graceful.cli.show.live.spans import (
    Column,
    Line,
    Span,
    bar,
    fit,
    line,
    paragraph,
    row,
    safe,
    short_number,
    short_span,
    widths,
)
from celery_graceful.runs.plain_run import Run

#: In the order of their importance: a narrow terminal shows the first ones.
COLUMNS = (
    Column("state", 11, 16),
    Column("task", 14, 48, cut_front=True),
    Column("id", 8, 36),
    Column("progress", 10, 30),
    Column("items", 11, 11, right=True),
    Column("items/s", 7, 7, right=True),
    Column("left", 6, 6, right=True),
    Column("worker", 10, 32, cut_front=True),
    Column("saved", 6, 6, right=True),
    Column("age", 6, 6, right=True),
    Column("queue", 8, 24),
    Column("executions", 10, 10, right=True),
)
#: Where the bar is, how wide it is where there is no limit, and what its percentage takes.
_BAR, _WIDE_BAR, _PERCENT = 3, 20, 5
_STYLES = {
    "queued": "dim",
    "running": "good",
    "finishing": "good",
    "completed": "good",
    "interrupted": "warning",
    "retrying": "warning",
    "throttled": "warning",
    "paused": "note",
    "failed": "bad",
    "cancelled": "dim",
}


@dataclass(frozen=True, slots=True)
class RunsSeen:
    """What one reading of the runs has found."""

    #: What it is about, on the first line: the app, the store, the filters.
    title: str
    runs: Sequence[Run] = ()
    #: An id that names each of them, perhaps shortened.
    ids: Sequence[str] = ()
    #: Why each of them does not move.
    whys: Sequence[str | None] = ()
    #: There are more runs than these.
    more: bool = False
    #: How many runs there are in each group, for people; empty: not known.
    counts: str = ""
    #: What maintenance holds; empty: nothing.
    held: str = ""
    #: Why it could not be read now, and this is from before; empty: it could.
    trouble: str = ""
    #: When it was read, for people.
    at: str = field(default="")


def runs_frame(seen: RunsSeen, width: int | None, height: int | None) -> list[Line]:
    """The lines of a frame.

    Args:
        seen: what was found.
        width: cells of the terminal; ``None``: no limit.
        height: lines of the terminal; ``None``: no limit.
    """
    head = list(_head(seen, width))
    room = None if height is None else max(1, height - len(head) - 2)  # headings, and the last line
    body, shown = _table(seen, width, room)
    hidden = len(seen.runs) - shown
    foot = _foot(hidden, more=seen.more)
    lines = [*head, *body, *([line(foot, "dim")] if foot else [])]
    return [fit(each, width) for each in lines[:height]]


def _head(seen: RunsSeen, width: int | None) -> Iterator[Line]:
    at = f"  {safe(seen.at)}" if seen.at else ""
    yield fit((Span(safe(seen.title), "title"), Span(at, "dim")), width)
    if seen.trouble:
        yield from paragraph(safe(seen.trouble), "bad", width)
    if seen.held:
        yield from paragraph(f"In maintenance: {safe(seen.held)}", "warning", width)
    if seen.counts:
        yield line(safe(seen.counts), "dim")
    yield line()


def _foot(hidden: int, *, more: bool) -> str:
    if not hidden and not more:
        return ""
    number = "more runs" if more else f"{hidden} more"
    return f"… {number}: choose with --state, --task, …"


def _table(seen: RunsSeen, width: int | None, room: int | None) -> tuple[list[Line], int]:
    """The table, and how many runs are in it."""
    if not seen.runs:
        return [line("No runs.", "dim")], 0
    fitting = seen.runs if room is None else seen.runs[:room]
    cells = [_cells(run, run_id) for run, run_id in zip(fitting, seen.ids, strict=False)]
    wide = widths(COLUMNS, cells, width)
    lines = [row(COLUMNS, [Span(column.heading, "heading") for column in COLUMNS], wide)]
    shown, before = 0, None
    for run, each, why in zip(fitting, cells, seen.whys, strict=False):
        each[_BAR] = Span(_progress(run, wide.get(_BAR, 0)), _STYLES.get(run.state, ""))
        block = [row(COLUMNS, each, wide)]
        if why and why != before:  # the same for all below it
            block += paragraph(safe(why), "why", width, indent="  ")
        if room is not None and len(lines) - 1 + len(block) > room and shown:
            break
        lines += block
        before, shown = why or before, shown + 1
    return lines, shown


def _cells(run: Run, run_id: str) -> list[Span]:
    style = _STYLES.get(run.state, "")
    return [
        Span(_state(run), "bad" if run.overdue or run.unroutable else style),
        Span(safe(run.task)),
        Span(safe(run_id), "id"),
        Span("·" * (_WIDE_BAR + _PERCENT)),
        Span(_items(run)),
        Span(_rate(run)),
        Span(_left(run)),
        Span(safe((run.worker or "").rpartition("/")[0] or run.worker or "–")),
        Span(_ago(run.checkpoint_at, run)),
        Span(_ago(run.started_at, run)),
        Span(safe(run.queue or "–")),
        Span(str(len(run.executions) or run.resumptions + 1)),
    ]


def _state(run: Run) -> str:
    if run.ended:
        return safe(run.state)
    if run.requested:
        asked = {"pause": "pausing", "cancel": "cancelling"}
        return asked.get(run.requested) or safe(run.requested)
    if run.overdue and run.worker:
        return "lost"
    return safe(run.state)


def _progress(run: Run, width: int) -> str:
    if run.percent is None:
        return bar(1.0 if run.state == "completed" else None, width)
    return f"{bar(run.percent / 100, width - _PERCENT)}{int(min(run.percent, 999)):4}%"


def _items(run: Run) -> str:
    if run.total is None:
        return short_number(run.steps)
    return f"{short_number(run.steps)}/{short_number(run.total)}"


def _rate(run: Run) -> str:
    rate = run.rate if run.rate_now is None else run.rate_now
    if rate is None:
        return "–"
    return f"{rate:.2f}" if rate < 10 else short_number(rate)


def _left(run: Run) -> str:
    return "–" if run.time_left is None or run.ended else short_span(run.time_left)


def _ago(at: float | None, run: Run) -> str:
    return "–" if at is None else short_span(run.now - at)
