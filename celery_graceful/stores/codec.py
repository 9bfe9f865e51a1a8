"""A record as flat fields: the ones a store compares by itself, and one JSON text for the rest.

Written by hand for speed: a short task encodes three records and decodes none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, Final

from celery_graceful import __version__
from celery_graceful.model.run.history import MOST_TEXT
from celery_graceful.model.run.record import MOST_GENERATIONS, Outcome, Record, Request, State
from celery_graceful.text import strict_json

#: Raised when the meaning of a field changes, or a state is added, so that an older worker refuses
#: what it would misread. A new field with a default does not raise it.
_FORMAT: Final = 1
#: The oldest format that can still be read.
_OLDEST: Final = 1
#: The version is for people: a worker that refuses the format names who wrote it.
_BEGIN: Final = f'{{"format":{_FORMAT},"by":"{__version__}"'
_INTS: Final = (
    "generation",
    "execution_steps",
    "resumptions",
    "crashes",
    "crash_steps",
    "stalls",
    "republished",
)
#: Fields that version 0.1 did not write, and what they are when they are missing. What a later
#: version adds in the same way is ignored here.
_ADDED: Final = {"last_crash": "", "unroutable": "", "options": "", "adjusted": ""}
#: The same of what a run knows of its past: texts that are mostly empty, and how long each may be.
_PAST: Final = {
    "history": MOST_TEXT,
    "actions": MOST_TEXT,
    "error": MOST_TEXT,
    "worker": 1024,
    "trace": 1024,
}
_dumps = json.JSONEncoder(separators=(",", ":")).encode
#: The most that a count may be, and where it is less than that of :mod:`strict_json`: a generation
#: has to be one that a message may have.
_MOST: Final = {"generation": MOST_GENERATIONS}
_LEAST: Final = {"crash_steps": -1, "resumptions": -1}
#: Times are the store's own, whose clock a test or a person may have set; seconds.
_FARTHEST: Final = 1e12
#: How long a summary is, at most; a reason is all of it that has no bound of its own.
_LONGEST: Final = 1024 * 1024
#: What reading a damaged part may raise.
_UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)


class Unreadable(ValueError):
    """A stored field does not hold what this version writes; the message says which."""


class Newer(Unreadable):
    """A later version wrote it, in a format that this one does not know."""


def utf8(value: str) -> bytes:
    """``value`` as bytes; any ``str`` survives, lone surrogates included."""
    return value.encode("utf-8", "surrogatepass")


def text(value: bytes) -> str:
    """The inverse of :func:`utf8`."""
    return value.decode("utf-8", "surrogatepass")


def readable(value: bytes) -> str:
    """``value`` as text: one wrong byte, in a reason say, must not hide all the rest."""
    try:
        return text(value)
    except UnicodeDecodeError:
        return value.decode("utf-8", "replace")


def extra_of(record: Record) -> str:
    """The fields of ``record`` that no store reads, as one ASCII JSON object."""
    r = record
    outcome = "null" if r.outcome is None else f'"{r.outcome.value}"'
    return (
        f'{_BEGIN},"generation":{r.generation},"execution_steps":{r.execution_steps},'
        f'"resumptions":{r.resumptions},"crashes":{r.crashes},"crash_steps":{r.crash_steps},'
        f'"stalls":{r.stalls},"republished":{r.republished},"reason":{_dumps(r.reason)},'
        f'"outcome":{outcome},"started_at":{r.started_at!r},"stamp":{_dumps(r.stamp)}'
        f"{_added(r)}}}"
    )


def _added(record: Record) -> str:
    """Fields that are mostly empty, and then left out."""
    added = f',"kept_for":{record.kept_for!r}' if record.kept_for else ""
    if record.ended_first:
        added += f',"ended_first":{record.ended_first!r}'
    if record.after:
        added += f',"after":{record.after}'
    if record.options:
        added += f',"options":{_dumps(record.options)}'
    if record.adjusted:
        added += f',"adjusted":{_dumps(record.adjusted)}'
    if record.paused_at:
        added += f',"paused_at":{record.paused_at}'
    if record.seconds:
        added += f',"seconds":{record.seconds!r}'
    if record.process:
        added += f',"process":{record.process}'
    if record.began:
        added += f',"began":{record.began!r}'
    if record.worker:
        added += f',"worker":{_dumps(record.worker)}'
    if record.trace:
        added += f',"trace":{_dumps(record.trace)}'
    if record.history or record.actions or record.error:
        added += _past(record)
    if record.last_crash or record.unroutable:
        added += (
            f',"last_crash":{_dumps(record.last_crash)},"unroutable":{_dumps(record.unroutable)}'
        )
    return added


def _past(record: Record) -> str:
    texts = (("history", record.history), ("actions", record.actions), ("error", record.error))
    return "".join(f',"{name}":{_dumps(text)}' for name, text in texts if text)


def record_of(parts: Sequence[Any]) -> Record:
    """Make a record of its stored parts.

    Args:
        parts: In this order: version, state, fence, owner, due_at, checkpoint, steps, requested,
            result, envelope, what :func:`extra_of` wrote, ended_at. Texts may be ``str`` or UTF-8,
            numbers may be digits.

    Raises:
        Unreadable: A part does not hold what this version writes.
    """
    version, state, fence, owner, due_at, checkpoint, steps, requested, result, *rest = parts
    envelope, extra, ended_at = rest
    if None in (version, state, fence, steps, extra):
        raise Unreadable("a field is missing")
    try:
        text_of_rest = extra if isinstance(extra, str) else extra.decode("ascii")
        summary = _checked(strict_json.loads(text_of_rest, _LONGEST))
        return Record(
            version=strict_json.whole(whole(version), "version"),
            state=State(_text(state)),
            fence=strict_json.whole(whole(fence), "fence"),
            owner=_text(owner),
            due_at=_time(due_at, "due_at"),
            checkpoint=_text(checkpoint),
            steps=strict_json.whole(whole(steps), "steps"),
            requested=request_of(requested),
            result=_text(result),
            envelope=bytes(envelope or b""),
            ended_at=_time(ended_at, "ended_at"),
            **summary,
        )
    except Unreadable:
        raise
    except _UNREADABLE as exc:
        raise Unreadable(f"{type(exc).__name__}: {exc}") from exc


def request_of(value: Any) -> Request | None:
    """The request in a field; raises :exc:`Unreadable`."""
    try:
        return None if value is None else Request(_text(value))
    except _UNREADABLE as exc:
        raise Unreadable(str(exc)) from exc


def whole(digits: Any) -> int:
    """A stored whole number, of an integer or its digits.

    Raises:
        ValueError: It is none; a text of more than 20 characters is not even looked at.
    """
    if isinstance(digits, (bytes, str)) and len(digits) > 20:
        raise ValueError(f"{digits[:20]!r}… is no number of this package")
    return int(digits)


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else text(value)


def _time(value: Any, name: str) -> float | None:
    if value is None:
        return None
    seconds = float(value)
    if not (math.isfinite(seconds) and abs(seconds) <= _FARTHEST):
        raise Unreadable(f"its {name} is {value!r}")
    return seconds


def _checked(rest: Any) -> dict[str, Any]:
    if not isinstance(rest, dict):
        raise Unreadable("its summary is not a JSON object")
    _check_format(rest.get("format"), rest.get("by"))
    kept: dict[str, Any] = {
        name: strict_json.whole(
            rest[name], name, _LEAST.get(name, 0), _MOST.get(name, strict_json.MOST)
        )
        for name in _INTS
    }
    kept["reason"] = _typed(rest, "reason", str)
    kept["started_at"] = strict_json.number(rest["started_at"], "started_at")
    kept["stamp"] = _typed(rest, "stamp", str)
    kept["outcome"] = None if rest["outcome"] is None else Outcome(rest["outcome"])
    for name, missing in _ADDED.items():
        kept[name] = _typed({name: missing, **rest}, name, str)
    kept["after"] = strict_json.whole(rest.get("after", 0), "after")
    kept["paused_at"] = strict_json.whole(rest.get("paused_at", 0), "paused_at")
    kept["seconds"] = strict_json.number(rest.get("seconds", 0.0), "seconds")
    kept["kept_for"] = strict_json.number(rest.get("kept_for", 0.0), "kept_for")
    kept["ended_first"] = strict_json.number(rest.get("ended_first", 0.0), "ended_first")
    kept["process"] = strict_json.whole(rest.get("process", 0), "process")
    kept["began"] = strict_json.number(rest.get("began", 0.0), "began")
    for name, longest in _PAST.items():
        if name in rest:
            kept[name] = strict_json.text(rest[name], name, longest)
    return kept


def _check_format(written_as: object, by: object) -> None:
    if type(written_as) is not int or written_as < _OLDEST:
        raise Unreadable(
            f"its format is {written_as!r}, and celery-graceful {__version__} reads {_OLDEST} to "
            f"{_FORMAT}"
        )
    if written_as > _FORMAT:
        writer = by if isinstance(by, str) else "of a later version"
        raise Newer(
            f"celery-graceful {writer:.40} wrote it in format {written_as}, and this one, "
            f"{__version__}, reads up to {_FORMAT}"
        )


def _typed(rest: dict[str, Any], name: str, kind: type) -> Any:
    value = rest[name]
    if not isinstance(value, kind):
        raise Unreadable(f"its {name} is {value!r:.100}")
    return value
