"""The frame of ``status --watch``: what was read goes in, lines come out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
    widths,
)
from celery_graceful.durations import short
from celery_graceful.maintenance.api import Status
from celery_graceful.maintenance.barrier import WorkerState, WorkerStatus
from celery_graceful.model.maintenance.mode import Hold
from celery_graceful.text.counting import counted
from celery_graceful.views.waiting.wording import moment

WORKERS = (
    Column("worker", 12, 40),
    Column("state", 8, 16),
    Column("slots", 8, 12),
    Column("busy", 6, 14, right=True),
    Column("seen", 6, 9, right=True),
    Column("waits for", 16, 60),
    Column("pool", 7, 10),
    Column("queues", 10, 40),
)
HOLDS = (
    Column("held", 10, 30),
    Column("until", 12, 20),
    Column("reason", 12, 60),
    Column("by", 8, 30),
    Column("for", 6, 10, right=True),
    Column("running runs", 12, 12),
)
_STYLES = {
    WorkerState.RUNNING: "good",
    WorkerState.RESUMING: "warning",
    WorkerState.PAUSING: "warning",
    WorkerState.PARTLY: "note",
    WorkerState.PAUSED: "note",
    WorkerState.GONE: "dim",
}
#: Where the bar of busy slots is, and its width.
_SLOTS, _BAR = 2, 10


@dataclass(frozen=True, slots=True)
class StatusSeen:
    """What one reading of an app has found."""

    title: str
    status: Status
    #: Why it could not be read now, and this is from before; empty: it could.
    trouble: str = ""
    #: When it was read, for people.
    at: str = ""


def status_frame(seen: StatusSeen, width: int | None, height: int | None) -> list[Line]:
    """The lines of a frame.

    Args:
        seen: what was found.
        width: cells of the terminal; ``None``: no limit.
        height: lines of the terminal; ``None``: no limit.
    """
    lines = list(_lines(seen, width))
    if height is not None and len(lines) > height:
        hidden = len(lines) - height + 1
        lines = [*lines[: height - 1], line(f"… {counted(hidden, 'more line')}", "dim")]
    return [fit(each, width) for each in lines]


def _lines(seen: StatusSeen, width: int | None) -> Iterator[Line]:
    at = f"  {safe(seen.at)}" if seen.at else ""
    yield (Span(safe(seen.title), "title"), Span(at, "dim"))
    if seen.trouble:
        yield from paragraph(safe(seen.trouble), "bad", width)
    yield from _mode(seen.status, width)
    if seen.status.trouble:
        text = f"The workers could not be asked over the broker: {safe(seen.status.trouble)}"
        yield from paragraph(text, "warning", width)
    yield line()
    workers = seen.status.workers
    if not workers:
        yield line("No worker is there.", "bad")
        return
    yield from _table(WORKERS, [_worker(worker) for worker in workers], width)
    for worker in workers:
        if worker.failure:
            text = f"{worker.hostname}: celery-graceful could not start: {worker.failure}"
            yield from paragraph(safe(text), "bad", width)


def _mode(status: Status, width: int | None) -> Iterator[Line]:
    mode, now = status.mode, status.now
    if not mode.down:
        yield line("Nothing is held: work runs", "good")
    else:
        blocks = status.barrier.blocks
        left = counted(len(blocks), "thing") if blocks else "nothing"
        yield line(f"In maintenance; waiting for {left}", "warning" if blocks else "note")
        yield from _table(HOLDS, [_hold(hold, now) for hold in mode.holds], width)
    if mode.ramp is not None and mode.ramp.until > now:
        share = 1 - (mode.ramp.until - now) / mode.ramp.seconds
        yield line(f"Work resumes slowly: {bar(share, 20)} {share:.0%}", "warning")


def _table(
    columns: Sequence[Column], cells: Sequence[Sequence[Span]], width: int | None
) -> Iterator[Line]:
    fitting = widths(columns, cells, width)
    yield row(columns, [Span(column.heading, "heading") for column in columns], fitting)
    for each in cells:
        yield row(columns, each, fitting)


def _hold(hold: Hold, now: float) -> list[Span]:
    return [
        Span(safe(str(hold.scope)), "warning"),
        Span("up" if hold.until is None else moment(hold.until, now)),
        Span(safe(hold.reason or "–")),
        Span(safe(hold.who)),
        Span(short(max(0.0, now - hold.since))),
        Span("stop" if hold.interrupt else "finish"),
    ]


def _worker(worker: WorkerStatus) -> list[Span]:
    report = worker.report
    busy = 0 if report is None else report.busy_count - report.waiting_count
    slots = 0 if report is None else report.slots
    waits = worker.blocks[0].why if worker.blocks else "–"
    more = f" (and {len(worker.blocks) - 1} more)" if len(worker.blocks) > 1 else ""
    return [
        Span(safe(worker.hostname)),
        Span(str(worker.state), _STYLES.get(worker.state, "bad")),
        Span(bar(busy / slots, _BAR) if slots else "–"),
        Span(f"{busy}/{slots}" if slots else "–"),
        Span("now" if worker.age is None else short(worker.age)),
        Span(safe(waits) + more),
        Span(safe(report.pool) if report else "–"),
        Span(safe(", ".join(report.queues)) if report else "–"),
    ]
