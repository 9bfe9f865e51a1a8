"""Everything about one run as a person reads it: sections of lines. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from celery_graceful.cli.run_text import as_json, progress_words, run_state
from celery_graceful.cli.show.live.spans import bar
from celery_graceful.durations import short
from celery_graceful.model.run.history import Action, PastExecution, RunError
from celery_graceful.runs.plain_run import Run
from celery_graceful.text.counting import counted

EXECUTION_HEADINGS = ("began", "for", "worker", "items", "items/s", "ended by")
ACTION_HEADINGS = ("at", "who", "did", "reason", "change")
#: Executions, actions and lines of a traceback that are shown: the last ones. JSON has all.
MOST_EXECUTIONS, MOST_ACTIONS, MOST_LINES = 10, 10, 20
#: Characters of a value that are shown.
_MOST_VALUE = 2000
_BAR = 20

Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Table:
    """A table below a heading."""

    title: str
    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def headlines(run: Run) -> tuple[str, str]:
    """The first two lines: which run, and where it stands."""
    owner = f" on {run.worker}" if run.worker else ""
    share = f"  {bar(run.percent / 100, _BAR)}" if run.percent is not None else ""
    return str(run), f"{run_state(run)}{owner}, {progress_words(run)}{share}"


def facts(run: Run) -> Pairs:
    """What is known of it, as names and values; without what is empty."""
    return [(name, value) for name, value in _facts(run) if value]


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    yield "id", run.id
    yield "rate", _rates(run)
    yield "arguments", _arguments(run)
    yield "cursor", "cannot be read" if run.unreadable else _cut(as_json(run.cursor))
    yield "carry", _cut(as_json(run.carry)) if run.carry else ""
    yield "unreadable", run.unreadable or ""
    yield "queue", _with(run.queue, run.priority, "priority")
    yield "worker", run.worker or ""
    yield "sent by", run.sent_by or ""
    yield "tags", ", ".join(run.tags)
    yield "started", _at(run.started_at, run)
    yield "ended", _at(run.ended_at, run)
    yield "checkpoint", _at(run.checkpoint_at, run)
    yield "started once as", run.once or ""
    yield "pauses after", counted(run.pause_after, "item") if run.pause_after else ""
    yield "ends after", counted(run.limit, "item") if run.limit else ""
    yield "dry run", "yes" if run.dry_run else ""
    yield "asked to", run.requested or ""
    yield "last stop", run.reason or ""
    yield "executions", str(max(len(run.executions), run.resumptions + 1))
    yield "generation", str(run.generation)
    yield "crashes", _crashes(run)
    yield "sent again", counted(run.republished, "time") if run.republished else ""
    yield "unroutable", run.unroutable or ""
    yield "quarantined", counted(run.quarantined, "item") if run.quarantined else ""
    yield _until(run)


def _arguments(run: Run) -> str:
    if run.args is None and run.kwargs is None:
        return "not known"
    if isinstance(run.args, list) and isinstance(run.kwargs, dict):
        given = [_json(value) for value in run.args]
        given += [f"{name}={_json(value)}" for name, value in run.kwargs.items()]
        return _cut(", ".join(given) or "none")
    return _cut(f"{_json(run.args)} {_json(run.kwargs)}")


def _json(value: object) -> str:
    return value if isinstance(value, str) and value.startswith("<") else as_json(value)


def _rates(run: Run) -> str:
    overall = f"{run.rate:,.1f}/s overall" if run.rate is not None else ""
    now = f"{run.rate_now:,.1f}/s in the last minute" if run.rate_now is not None else ""
    left = f"about {short(run.time_left)} left" if run.time_left is not None else ""
    worked = f"worked for {short(run.seconds)}" if run.seconds else ""
    return ", ".join(filter(None, (now, overall, left, worked)))


def _crashes(run: Run) -> str:
    last = f"the last one: {run.last_crash}"
    if run.crashes:
        return f"{run.crashes} in a row without progress, {last}"
    return f"none since its last progress; {last}" if run.last_crash else "none"


def _until(run: Run) -> tuple[str, str]:
    if run.until is None:
        return "", ""
    left = run.until - run.now
    what = "lease ends" if run.worker else "sent again"
    when = f"in {short(left)}" if left > 0 else f"{short(-left)} ago; a worker acts on it soon"
    return what, when


def executions_table(run: Run) -> Table:
    """Its last executions, the latest last."""
    shown = run.executions[-MOST_EXECUTIONS:]
    title = _title("Executions", len(shown), len(run.executions))
    return Table(title, EXECUTION_HEADINGS, [_execution(each, run.now) for each in shown])


def _execution(past: PastExecution, now: float) -> tuple[str, ...]:
    seconds = max(0.0, (now if past.ended is None else past.ended) - past.began)
    rate = f"{past.items / seconds:,.1f}" if seconds >= 1 and past.items else "–"
    return (
        moment(past.began),
        short(seconds),
        past.worker or "–",
        str(past.items),
        rate,
        past.reason or ("under way" if past.ended is None else "–"),
    )


def actions_table(run: Run) -> Table:
    """What operators did, the latest last."""
    shown = run.actions[-MOST_ACTIONS:]
    title = _title("What operators did", len(shown), len(run.actions))
    return Table(title, ACTION_HEADINGS, [_action(each) for each in shown])


def _action(action: Action) -> tuple[str, ...]:
    return (
        moment(action.at),
        action.who,
        action.verb,
        action.reason or "–",
        action.change or "–",
    )


def _title(what: str, shown: int, all_: int) -> str:
    return f"{what} (the last {shown} of {all_})" if shown < all_ else what


def error_lines(error: RunError) -> list[str]:
    """The last error, and the end of its traceback."""
    trace = error.traceback.rstrip().splitlines()[-MOST_LINES:]
    return [f"{error.type}: {error.message}", *(f"  {each}" for each in trace)]


def moment(at: float) -> str:
    """A moment, by the clock of UTC."""
    return f"{datetime.fromtimestamp(at, timezone.utc):%Y-%m-%d %H:%M:%S}Z"


def _at(at: float | None, run: Run) -> str:
    return "" if at is None else f"{moment(at)} ({short(max(0.0, run.now - at))} ago)"


def _with(value: str | None, more: int | None, name: str) -> str:
    if value is None:
        return ""
    return value if more is None else f"{value}, {name} {more}"


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_VALUE else f"{text[: _MOST_VALUE - 1]}… (--json has all)"
