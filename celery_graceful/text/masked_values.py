"""Arguments of tasks as they are shown: without secrets, in JSON's types, and not too long."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from celery_graceful.text.masking import MASK, mask_text

#: The most that is shown: characters of a text, entries of a list, levels, and values in all.
MOST_TEXT, MOST_ENTRIES, MOST_LEVELS, MOST_VALUES = 1000, 50, 8, 500
_MOST_KEY = 100
#: JSON's readers keep whole numbers of as many digits; Python writes no longer ones.
_MOST_BITS = 256
_CUT = "…"
#: Names that are secrets wherever they stand, as a whole or as a part between underscores.
_SECRET = re.compile(
    r"(?:^|[_.\-])(?:pass(?:word|wd|phrase)?|pwd|secrets?|token|credentials?|authorization|"
    r"(?:api|access|private|secret)_?key)(?:$|[_.\-])",
    re.IGNORECASE,
)
#: In a text without any of these there is no address and no password.
_SUSPICIOUS = re.compile("[@=:]")


class Shown:
    """Makes values showable; one for the arguments of one run.

    Args:
        names: of arguments and of keys in them that are secret; case does not matter. Names such
            as ``password`` and ``api_key`` are secret anyhow.
    """

    def __init__(self, names: Collection[str] = ()) -> None:
        self._names = frozenset(name.lower() for name in names)
        self._left = MOST_VALUES

    def is_secret(self, name: str) -> bool:
        """Whether a value of this name is not to be shown."""
        return name.lower() in self._names or _SECRET.search(name[:_MOST_KEY]) is not None

    def named(self, name: str, value: Any) -> Any:
        """A value that has a name."""
        return MASK if self.is_secret(name) else self.value(value)

    def mapping(self, values: Mapping[Any, Any], level: int = 0) -> dict[str, Any]:
        """A mapping, its keys as texts."""
        shown: dict[str, Any] = {}
        for number, (key, value) in enumerate(values.items()):
            if number >= MOST_ENTRIES or self._left <= 0:
                shown[_CUT] = f"{len(values) - number} more"
                break
            name = str(self.value(key, MOST_LEVELS))
            secret = isinstance(key, str) and self.is_secret(key)
            shown[cut(name, _MOST_KEY)] = MASK if secret else self.value(value, level + 1)
        return shown

    def value(self, value: Any, level: int = 0) -> Any:
        """One value, in JSON's types."""
        self._left -= 1
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, int):
            if value.bit_length() <= _MOST_BITS:
                return int(value)
            return f"a number of {value.bit_length()} bits"
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else repr(float(value))
        if isinstance(value, (date, time)):
            return value.isoformat()
        if isinstance(value, timedelta):
            return value.total_seconds()
        if isinstance(value, (Decimal, UUID)):
            return cut(str(value), MOST_TEXT)
        if isinstance(value, (Mapping, list, tuple, set, frozenset)):
            return self._container(value, level)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return f"{len(value)} bytes"
        return f"a {type(value).__name__}"

    def _container(self, value: Any, level: int) -> Any:
        if level >= MOST_LEVELS or self._left <= 0:
            return _CUT
        if isinstance(value, Mapping):
            return self.mapping(value, level)
        shown = []
        for number, each in enumerate(value):
            if number >= MOST_ENTRIES or self._left <= 0:
                shown.append(f"{_CUT} {len(value) - number} more")
                break
            shown.append(self.value(each, level + 1))
        return shown

    def _text(self, value: str) -> str:
        # Cut first: a password that is cut is masked up to its end.
        text = cut(value, MOST_TEXT)
        return mask_text(text) if _SUSPICIOUS.search(text) else text


def cut(text: str, most: int) -> str:
    """The beginning of a long text, and how long it is."""
    return text if len(text) <= most else f"{text[:most]}{_CUT} ({len(text):,} characters)"
