"""The maintenance mode as people and as programs read it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from celery_graceful.durations import format_seconds
from celery_graceful.model.maintenance.mode import Hold, Kind, LogEntry, Mode, Scope

if TYPE_CHECKING:
    from celery_graceful.cli.context import OpenApp

#: Raised when a field of the JSON output changes its meaning or goes away.
SCHEMA = 1

HOLD_HEADINGS = ("held", "since", "until", "by", "runs under way", "reason")


def short(seconds: float) -> str:
    """A span of time in two units at most."""
    rounded = round(seconds, 1) if seconds < 10 else round(seconds)
    return " ".join(format_seconds(max(0, rounded)).split()[:2])


def in_words(scopes: Iterable[Scope]) -> str:
    """The scopes in a sentence."""
    return ", ".join(map(str, scopes)) or "nothing"


def hold_as_row(hold: Hold, now: float) -> tuple[str, ...]:
    """One line of the table, under :data:`HOLD_HEADINGS`."""
    return (
        str(hold.scope),
        f"{_moment(hold.since)} ({short(now - hold.since)} ago)",
        "up" if hold.until is None else f"{_moment(hold.until)} (in {short(hold.until - now)})",
        hold.who,
        "leave" if hold.interrupt else "end",
        hold.reason or "–",
    )


def log_line(deed: LogEntry) -> str:
    """What somebody did, in a line."""
    what = f"{deed.verb} {in_words(deed.scopes)}" if deed.scopes else deed.verb
    until = f", until {_moment(deed.until)}" if deed.until is not None else ""
    reason = f": {deed.reason}" if deed.reason else ""
    return f"{_moment(deed.at)}  {deed.who}  {what}{until}{reason}"


def mode_as_data(mode: Mode, now: float) -> dict[str, Any]:
    """The mode as JSON's types; times in Unix seconds, by the store's clock."""
    ramp = mode.ramp
    return {
        "down": mode.down,
        "version": mode.version,
        "now": now,
        "holds": [
            {
                **_scope_as_data(hold.scope),
                "reason": hold.reason,
                "who": hold.who,
                "since": hold.since,
                "until": hold.until,
                "interrupt": hold.interrupt,
            }
            for hold in mode.holds
        ],
        "ramp": {"since": ramp.since, "until": ramp.until} if ramp and ramp.until > now else None,
        "log": [
            {
                "at": deed.at,
                "who": deed.who,
                "verb": deed.verb,
                "scopes": [_scope_as_data(scope) for scope in deed.scopes],
                "reason": deed.reason,
                "until": deed.until,
            }
            for deed in mode.log
        ],
    }


def undo_down(
    at: OpenApp, before: Mode, after: Mode, scopes: Iterable[Scope], now: float
) -> list[str]:
    """The commands that take a ``down`` back: what was held before gets its old terms."""
    scopes = list(scopes)
    fresh = [scope for scope in scopes if before.hold_of(scope) is None]
    olds = [
        hold
        for hold in before.holds
        if hold.scope in scopes and _terms(hold) != _terms(after.hold_of(hold.scope))
    ]
    return [*([up_command(at, fresh)] if fresh else ()), *redo(at, olds, now)]


def up_command(at: OpenApp, scopes: Iterable[Scope]) -> str:
    """The command that ends the maintenance of scopes."""
    return at.line("up", *_options(scopes))


def _terms(hold: Hold | None) -> tuple[object, ...]:
    return () if hold is None else (hold.reason, hold.until, hold.interrupt)


def redo(at: OpenApp, holds: Iterable[Hold], now: float) -> list[str]:
    """The commands that hold the same again, on the same terms."""
    same: dict[tuple[str, ...], list[Scope]] = {}
    for hold in holds:
        terms = ["--reason", hold.reason] if hold.reason else []
        if hold.until is not None:
            terms += ["--for", f"{max(1, round(hold.until - now))}s"]
        if not hold.interrupt:
            terms.append("--no-interrupt")
        # Everything can only be held by naming nothing.
        apart = "all" if hold.scope.kind is Kind.ALL else ""
        same.setdefault((apart, *terms), []).append(hold.scope)
    return [at.line("down", *_options(s), *terms) for (_, *terms), s in same.items()]


def _options(scopes: Iterable[Scope]) -> list[str]:
    letters = {Kind.QUEUE: "-Q", Kind.TASK: "-T"}
    return [w for s in scopes if s.kind in letters for w in (letters[s.kind], s.name)]


def _scope_as_data(scope: Scope) -> dict[str, str]:
    return {"kind": scope.kind.value, "name": scope.name}


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, timezone.utc):%Y-%m-%d %H:%M:%S}Z"
