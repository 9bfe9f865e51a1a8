"""Kinds of values that a form's field can have: what it shows, and how what is written is read."""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, tzinfo
from decimal import Decimal, DecimalException
from enum import Enum
from typing import Any
from uuid import UUID

from kombu.utils import json as kombu_json

from celery_graceful.text import strict_json

#: The most that one field may have, in characters.
MOST = 256 * 1024
_SHOWN = 60


class Kind(str, Enum):
    """What a field is to the browser; the value is its name in the plain data."""

    TEXT = "text"
    WHOLE = "whole number"
    NUMBER = "number"
    YES_NO = "yes or no"
    DATE = "date"
    DATETIME = "date and time"
    TIME = "time"
    DECIMAL = "decimal"
    UUID = "uuid"
    CHOICE = "choice"
    PATH = "file path"
    JSON = "json"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the values that a field may have."""

    #: What the form sends: its place, since values of different types may look the same.
    key: str
    label: str
    value: Any


@dataclass(frozen=True, slots=True)
class Zone:
    """How moments without an offset are meant."""

    tz: tzinfo
    name: str
    #: Whether moments stay without a zone, as the parameter's default does.
    naive: bool = False


def read_value(kind: Kind, text: str, zone: Zone, choices: tuple[Choice, ...] = ()) -> Any:
    """The value that was written into a field.

    Raises:
        ValueError: it is none of this kind; the message says what can be written.
    """
    if len(text) > MOST:
        raise ValueError(f"It has {len(text)} characters; at most {MOST} are read.")
    if "\x00" in text:
        raise ValueError("It has a NUL character in it.")
    if kind is Kind.TEXT:
        return text.replace("\r\n", "\n")
    if kind is Kind.CHOICE:
        return _choice(text, choices)
    if kind is Kind.DATETIME:
        return _moment(text, zone)
    return _READERS[kind](text.strip())


def shown_value(kind: Kind, value: Any, zone: Zone, choices: tuple[Choice, ...] = ()) -> str | None:
    """A default as it stands in its field; ``None``: this field cannot have it."""
    if kind is Kind.CHOICE:
        return next((c.key for c in choices if _same(c.value, value)), None)
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(zone.tz).replace(tzinfo=None)  # a browser takes no offset
    try:
        text = _SHOWERS.get(kind, str)(value)
    except (ValueError, TypeError, RecursionError):
        return None
    return text if len(text) <= MOST and "\x00" not in text else None


# -- reading ----------------------------------------------------------------------------------


def _choice(text: str, choices: tuple[Choice, ...]) -> Any:
    for choice in choices:
        if choice.key == text:
            return choice.value
    raise ValueError(f"{_short(text)} is none of the choices.")


def _whole(text: str) -> int:
    try:
        return strict_json.whole(int(text), "it", -strict_json.MOST)
    except ValueError:
        raise ValueError(f"{_short(text)} is not a whole number. Example: 250") from None


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{_short(text)} is not a number. Example: 0.5") from None
    if not math.isfinite(number):
        raise ValueError(f"{_short(text)} is not a finite number.")
    return number


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except DecimalException:
        raise ValueError(f"{_short(text)} is not a decimal number. Example: 19.99") from None
    if not number.is_finite():
        raise ValueError(f"{_short(text)} is not a finite number.")
    return number


def _yes_no(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError(f"{_short(text)} is neither yes nor no.")
    return text == "yes"


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{_short(text)} is not a date. Example: 2026-11-30") from None


def _time(text: str) -> time:
    try:
        return time.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{_short(text)} is not a time. Example: 14:30") from None


def _moment(text: str, zone: Zone) -> datetime:
    text = text.strip()
    iso = f"{text[:-1]}+00:00" if text[-1:] in "zZ" else text  # Python 3.10 reads no Z
    try:
        found = datetime.fromisoformat(iso)
        if zone.naive:
            return found if found.tzinfo is None else found.astimezone(zone.tz).replace(tzinfo=None)
        return found if found.tzinfo is not None else found.replace(tzinfo=zone.tz)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{_short(text)} is not a date with a time. Example: 2026-11-30T14:30"
        ) from None


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        example = "6f2d5b5c-3a3c-4d0e-9d0f-2b7c1f0e8a11"
        raise ValueError(f"{_short(text)} is not a UUID. Example: {example}") from None


def _path(text: str) -> str:
    # As text: a worker on another host reads it, and a Path cannot be sent as JSON.
    if not text:
        raise ValueError("It has no path. Example: /data/import.csv")
    return text


def _json(text: str) -> Any:
    try:
        return strict_json.loads(text, MOST)
    except ValueError as exc:
        raise ValueError(f"{_short(text)} is not JSON: {exc}.{_json_hint(text)}") from None


def _json_hint(text: str) -> str:
    if text in ("True", "False", "None"):
        return f" In JSON: {text.lower().replace('none', 'null')}"
    if text[:1] not in "[{\"'" and len(text) <= _SHOWN:
        return f" A text stands in quotes: {json.dumps(text)}"
    return ' Examples: "a text", 41, [3, 41], {"key": true}'


_READERS: dict[Kind, Callable[[str], Any]] = {
    Kind.WHOLE: _whole,
    Kind.NUMBER: _number,
    Kind.DECIMAL: _decimal,
    Kind.YES_NO: _yes_no,
    Kind.DATE: _date,
    Kind.TIME: _time,
    Kind.UUID: _uuid,
    Kind.PATH: _path,
    Kind.JSON: _json,
}


def _short(text: str) -> str:
    return repr(text[:_SHOWN] + ("…" if len(text) > _SHOWN else ""))


# -- showing ----------------------------------------------------------------------------------


def _shown_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("it is no text")
    return value


def _shown_whole(value: Any) -> str:
    if type(value) is not int:
        raise TypeError("it is no whole number")
    return str(value)


def _shown_number(value: Any) -> str:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise TypeError("it is no number")
    return repr(value)


def _shown_yes_no(value: Any) -> str:
    if type(value) is not bool:
        raise TypeError("it is neither true nor false")
    return "yes" if value else "no"


def _shown_moment(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError("it is no moment")


def _shown_date(value: Any) -> str:
    if isinstance(value, (date, time)) and not isinstance(value, datetime):
        return value.isoformat()
    raise TypeError("it is neither a date nor a time")


def _shown_path(value: Any) -> str:
    if isinstance(value, (str, pathlib.PurePath)):
        return str(value)
    raise TypeError("it is no path")


def _shown_decimal(value: Any) -> str:
    return str(Decimal(value))


def _shown_json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if not _same(json.loads(text), value):
        raise ValueError("it is more than JSON")
    return text


_SHOWERS: dict[Kind, Callable[[Any], str]] = {
    Kind.TEXT: _shown_text,
    Kind.WHOLE: _shown_whole,
    Kind.NUMBER: _shown_number,
    Kind.YES_NO: _shown_yes_no,
    Kind.DATE: _shown_date,
    Kind.TIME: _shown_date,
    Kind.DATETIME: _shown_moment,
    Kind.DECIMAL: _shown_decimal,
    Kind.PATH: _shown_path,
    Kind.JSON: _shown_json,
}


def _same(one: Any, other: Any) -> bool:
    try:
        return type(one) is type(other) and bool(one == other)
    except Exception:  # whatever a project's own type makes of it
        return False


def sendable(value: Any, serializer: str) -> bool:
    """Whether a message can carry a value."""
    if serializer != "json":
        return True
    try:
        kombu_json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
