"""What a run's record keeps of its past: executions, operators' actions, the last error.

Each is a text in the record, mostly empty, and bounded in entries and in bytes. Only transitions
write them, so a run that completes at its first execution writes none, and no checkpoint does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from celery_graceful.text import strict_json

#: How many executions and actions are kept: the last ones.
MOST_EXECUTIONS: Final = 50
MOST_ACTIONS: Final = 50
#: The most that each of the three texts may take in a store, in bytes.
MOST_BYTES: Final = 32 * 1024
#: The most that parts may take, in bytes of UTF-8. Of a traceback, the end is kept.
_MOST_MESSAGE: Final = 1024
_MOST_TRACEBACK: Final = 4096
_MOST_NAME: Final = 256
_MOST_REASON: Final = 512
#: How much of a text is read, in characters; nothing that is written here is longer.
MOST_TEXT: Final = MOST_BYTES
_ascii = json.JSONEncoder(separators=(",", ":")).encode
_plain = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PastExecution:
    """One execution of a run: from its admission to its end. Moments are Unix seconds."""

    #: The worker, as in :attr:`.Record.owner`; ``None``: not known.
    worker: str | None
    began: float
    #: ``None``: it is under way.
    ended: float | None
    #: Items that it did.
    items: int
    #: Why it ended; ``None``: it is under way.
    reason: str | None
    #: The trace it belongs to, as OpenTelemetry writes its id; ``None``: to none that is known.
    trace: str | None = None
    #: The id of the process that ran it.
    process: int | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """What an operator did to a run."""

    #: Unix seconds.
    at: float
    who: str
    #: ``pause``, ``resume``, ``cancel`` …
    verb: str
    #: Why, in the operator's words; may be empty.
    reason: str = ""
    #: What it changed, for people: ``running → paused``.
    change: str = ""


@dataclass(frozen=True, slots=True)
class RunError:
    """The last error of a run, also of one that was retried."""

    #: The exception's class.
    type: str
    message: str
    #: The end of its traceback; may be empty.
    traceback: str = ""


# -- writing -------------------------------------------------------------------------------------


def with_execution(history: str, execution: PastExecution) -> str:
    """The text of past executions with one more; one that cannot be read begins anew."""
    e = execution
    line = [
        round(e.began, 3),
        round(e.began if e.ended is None else e.ended, 3),
        e.items,
        _cut(e.reason or "", _MOST_REASON),
        _cut(e.worker or "", _MOST_NAME),
        e.process or 0,
        _cut(e.trace or "", _MOST_NAME),
    ]
    return _appended(history, line, _execution, MOST_EXECUTIONS)


def without_last_execution(history: str) -> str:
    """The same without the one that was appended last: it continues after all."""
    lines = _lines(history, _execution)[:-1]
    return _plain(lines) if lines else ""


def with_action(actions: str, action: Action) -> str:
    """The text of actions with one more."""
    a = action
    line = [
        round(a.at, 3),
        _cut(a.who, _MOST_NAME),
        _cut(a.verb, _MOST_NAME),
        _cut(a.reason, _MOST_REASON),
        _cut(a.change, _MOST_REASON),
    ]
    return _appended(actions, line, _action, MOST_ACTIONS)


def error_text(error: RunError) -> str:
    """An error as text, cut to its bounds."""
    message, tail = _cut(error.message, _MOST_MESSAGE), _cut_tail(error.traceback, _MOST_TRACEBACK)
    name = _cut(error.type, _MOST_NAME)
    while _size(text := _plain([name, message, tail])) > MOST_BYTES // 2:
        message, tail = message[: len(message) // 2], tail[(len(tail) + 1) // 2 :]
    return text


def _appended(text: str, line: list[Any], read: Callable[[Any], Any], most: int) -> str:
    lines = [*_lines(text, read), line][-most:]
    # What is hostile takes six bytes a character; what is not, a tenth of the bound.
    while _size(text := _plain(lines)) > MOST_BYTES and len(lines) > 1:
        del lines[: 1 + len(lines) // 10]
    return text


def _size(text: str) -> int:
    """How many bytes a store keeps of it, as a part of JSON."""
    return len(_ascii(text))


def _cut(text: str, most: int) -> str:
    if len(text) * 4 <= most or len(data := _bytes(text)) <= most:
        return text
    return data[: most - 3].decode("utf-8", "ignore") + "…"


def _cut_tail(text: str, most: int) -> str:
    if len(text) * 4 <= most or len(data := _bytes(text)) <= most:
        return text
    return "…" + data[3 - most :].decode("utf-8", "ignore")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


# -- reading -------------------------------------------------------------------------------------


def executions(history: str) -> tuple[PastExecution, ...]:
    """The past executions in a text, the first first.

    Raises:
        ValueError: it is not what :func:`with_execution` writes.
    """
    return _read(history, _execution, MOST_EXECUTIONS)


def actions(text: str) -> tuple[Action, ...]:
    """The actions in a text, the first first.

    Raises:
        ValueError: it is not what :func:`with_action` writes.
    """
    return _read(text, _action, MOST_ACTIONS)


def error(text: str) -> RunError | None:
    """The error in a text; ``None`` if it is empty.

    Raises:
        ValueError: it is not what :func:`error_text` writes.
    """
    if not text:
        return None
    parts = strict_json.loads(text, MOST_TEXT)
    if type(parts) is not list or len(parts) != 3:
        raise ValueError("the error of a run is no list of three texts")
    return RunError(*(strict_json.text(part, "a part of the error", MOST_TEXT) for part in parts))


def readable(read: Callable[[str], T], text: str, otherwise: T) -> T:
    """What ``read`` makes of a text; ``otherwise`` where a stranger may have written it."""
    try:
        return read(text)
    except ValueError:
        return otherwise


def _read(text: str, read: Callable[[Any], T], most: int) -> tuple[T, ...]:
    if not text:
        return ()
    lines = strict_json.loads(text, MOST_TEXT)
    if type(lines) is not list or len(lines) > most:
        raise ValueError(f"the history of a run is no list of at most {most}")
    return tuple(map(read, lines))


def _lines(text: str, read: Callable[[Any], Any]) -> list[Any]:
    """The lines of a text that was written here; none of another one."""
    if not text:
        return []
    try:
        lines = strict_json.loads(text, MOST_TEXT)
        for line in lines:
            read(line)
    except (ValueError, TypeError):
        return []
    return list(lines)


def _parts(line: Any, number: int) -> Sequence[Any]:
    if type(line) is not list or len(line) != number:
        raise ValueError(f"an entry in the history of a run is no list of {number}")
    return line


def _execution(line: Any) -> PastExecution:
    began, ended, items, reason, worker, process, trace = _parts(line, 7)
    return PastExecution(
        worker=strict_json.text(worker, "worker", MOST_TEXT) or None,
        began=strict_json.number(began, "began"),
        ended=strict_json.number(ended, "ended"),
        items=strict_json.whole(items, "items"),
        reason=strict_json.text(reason, "reason", MOST_TEXT),
        trace=strict_json.text(trace, "trace", MOST_TEXT) or None,
        process=strict_json.whole(process, "process") or None,
    )


def _action(line: Any) -> Action:
    at, *texts = _parts(line, 5)
    who, verb, reason, change = (strict_json.text(each, "an action", MOST_TEXT) for each in texts)
    return Action(strict_json.number(at, "at"), who, verb, reason, change)


def changed(action: Action, change: str) -> Action:
    """The same, which says what it changed, if it does not say so itself."""
    return action if action.change else replace(action, change=change)
