"""Reading JSON that anybody may have written: one error for all that can be wrong with it.

Python's own reader takes ``NaN`` and ``1e400`` for numbers and the last of two equal keys for the
value, and raises :exc:`RecursionError` for what is nested too deeply.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from celery_graceful.text.counting import counted

#: The largest whole number that every store and every reader of JSON keeps exactly.
MOST = 2**53
#: The end of the year 9999 in Unix seconds: no later time can be shown.
LATEST = 253_402_300_799.0
#: More digits than any number has that is written by this package.
_DIGITS = 40


def loads(data: str | bytes, most: int = 4 * 1024 * 1024) -> Any:
    """The value that ``data`` stands for.

    Args:
        data: a text, or bytes in UTF-8.
        most: how long it may be.

    Raises:
        ValueError: it is no JSON, is too long, is nested too deeply, has a key twice, or has a
            number in it that is not finite or has more than 40 digits.
    """
    if len(data) > most:
        raise ValueError(f"it has {counted(len(data), 'character')}, at most {most} are read")
    try:
        return _decode(data if isinstance(data, str) else data.decode())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def whole(value: Any, name: str, least: int = 0, most: int = MOST) -> int:
    """``value``, which has to be a whole number from ``least`` to ``most``.

    Raises:
        ValueError: it is something else; ``True`` and ``1.0`` are.
    """
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} is {_shown(value)}, not a whole number from {least} to {most}")
    return value


def number(value: Any, name: str, least: float = 0.0, most: float = LATEST) -> float:
    """``value`` as a float, which has to be a number from ``least`` to ``most``.

    Raises:
        ValueError: it is something else.
    """
    # Compared before it is converted: ``float(10**400)`` raises.
    if type(value) not in (int, float) or not least <= value <= most:
        raise ValueError(f"{name} is {_shown(value)}, not a number from {least:g} to {most:g}")
    return float(value)


def text(value: Any, name: str, most: int = 64 * 1024) -> str:
    """``value``, which has to be a text of at most ``most`` characters.

    Raises:
        ValueError: it is something else.
    """
    if type(value) is not str or len(value) > most:
        raise ValueError(f"{name} is {_shown(value)}, not a text of at most {most} characters")
    return value


def flag(value: Any, name: str) -> bool:
    """``value``, which has to be ``True`` or ``False``.

    Raises:
        ValueError: it is something else.
    """
    if type(value) is not bool:
        raise ValueError(f"{name} is {_shown(value)}, not true or false")
    return value


def names(value: Any, name: str) -> tuple[str, ...]:
    """``value`` as a tuple, which has to be a list of texts.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{name} is {_shown(value)}, not a list")
    return tuple(text(each, f"one of {name}") for each in value)


def _shown(value: Any) -> str:
    """A short form of ``value``, whatever it is: the digits of a huge number are not worked out."""
    if isinstance(value, (str, bytes)):
        return repr(value[:40])
    if value is None or isinstance(value, (bool, float)):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if abs(value) < 10**20 else f"a number of {value.bit_length()} bits"
    return f"a {type(value).__name__}"


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"a number in it has {counted(len(digits), 'digit')}")
    return int(digits)


def finite(digits: str) -> float:
    """For ``parse_float``: no number that is too large to be finite."""
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"a number in it is too large: {digits[:40]}")
    return value


def constant(name: str) -> NoReturn:
    """For ``parse_constant``: JSON has no NaN and no Infinity."""
    raise ValueError(f"{name} is no number")


def pairs(found_in_order: list[tuple[str, Any]]) -> dict[str, Any]:
    """For ``object_pairs_hook``: no key twice."""
    found = dict(found_in_order)
    if len(found) != len(found_in_order):
        raise ValueError("a key stands in it twice")
    return found


_decode = json.JSONDecoder(
    object_pairs_hook=pairs, parse_int=_whole, parse_float=finite, parse_constant=constant
).decode
