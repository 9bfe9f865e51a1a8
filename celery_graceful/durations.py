"""Times as people write them: ``30s``, ``1h30m``, ``500ms``, ``7d``."""

from __future__ import annotations

import math
import re
from datetime import timedelta

_MILLISECONDS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*(ms|[dhms])", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+", re.ASCII)
_HINT = 'write a number of seconds, or a number with a unit: "500ms", "30s", "5m", "1h30m", "7d"'


def parse(value: object) -> float:
    """The seconds that ``value`` means.

    Args:
        value: a number of seconds, a :class:`~datetime.timedelta`, or a text: a bare number of
            seconds, or numbers with the units ``d``, ``h``, ``m``, ``s``, ``ms``, the largest
            first, each unit once, in either case, spaces allowed (``"1h 30m"``).

    Returns:
        Seconds; never negative, never infinite.

    Raises:
        ValueError: it is anything else; the message says what can be written.
    """
    if isinstance(value, timedelta):
        return _checked(value.total_seconds(), value)
    if isinstance(value, str):
        return _checked(_parse_text(value), value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _checked(value, value)
    raise ValueError(f"{value!r} is not a duration; {_HINT}")


def format_seconds(seconds: float) -> str:
    """``seconds`` for people, rounded to the millisecond: ``"1h 30m"``, ``"500ms"``, ``"0s"``.

    :func:`parse` reads it back.

    Raises:
        ValueError: ``seconds`` is negative, infinite or not a number.
    """
    left = round(_checked(seconds, seconds) * 1000)
    parts = []
    for unit, size in _MILLISECONDS.items():
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts) or "0s"


def short(seconds: float) -> str:
    """``seconds`` for people, in two units at most; a negative span is none."""
    rounded = round(seconds, 1) if seconds < 10 else round(seconds)
    return " ".join(format_seconds(max(0, rounded)).split()[:2])


def _checked(seconds: float, given: object) -> float:
    try:
        number = float(seconds)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{given!r} is not a finite duration; {_HINT}")
    if number < 0:
        raise ValueError(f"{given!r} is a negative duration; it must be 0 or more")
    return number


def _parse_text(text: str) -> float:
    stripped = text.strip().lower()
    if not stripped:
        raise ValueError(f"{text!r} is an empty duration; {_HINT}")
    if _NUMBER.fullmatch(stripped):
        return float(stripped)
    if stripped.startswith("-"):
        raise ValueError(f"{text!r} is a negative duration; it must be 0 or more")
    return _sum_parts(text, stripped) / 1000


def _sum_parts(text: str, stripped: str) -> float:
    """The milliseconds of all parts: in whole ones, floats add up without rounding."""
    total = 0.0
    smallest = math.inf
    at = 0
    while at < len(stripped):
        part = _PART.match(stripped, at)
        if part is None:
            raise ValueError(f"{text!r} is not a duration: cannot read {stripped[at:]!r}; {_HINT}")
        number, unit = part.groups()
        size = _MILLISECONDS[unit]
        if size >= smallest:
            raise ValueError(
                f"{text!r} is not a duration: each unit once, the largest first (d, h, m, s, ms)"
            )
        smallest = size
        total += size * float(number)
        at = part.end()
    return total
