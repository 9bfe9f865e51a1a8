"""How long a stop hook takes, as far as its text says so."""

from __future__ import annotations

import re

_TIME = r"\d+(?:\.\d+)?[smhd]?(?![^\s;&|)'\"`])"
_SLEEP = re.compile(rf"\bsleep((?:\s+{_TIME})+)")
_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def sleeps(text: str) -> float:
    """The seconds that a text for a shell sleeps; several times for one ``sleep`` add up."""
    return sum(_seconds(time) for times in _SLEEP.findall(text) for time in times.split())


def _seconds(time: str) -> float:
    unit = time[-1]
    return float(time[:-1]) * _UNIT[unit] if unit in _UNIT else float(time)
