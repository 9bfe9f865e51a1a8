"""A maintenance mode that somebody else wrote: read whole, or refused as a whole."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from celery_graceful.errors import CorruptRecord, NewerRecord
from celery_graceful.model.maintenance.mode import EVERYTHING, Mode, hold_scopes
from celery_graceful.model.maintenance.mode_text import decode_mode, encode_mode

MODE = hold_scopes(Mode(), [EVERYTHING], now=100.0, who="ann", reason="deploy", until=200.0)
GOOD: dict[str, Any] = json.loads(encode_mode(MODE))
HOLD = [["all", ""], "", "ann", 100.0, None, True]

WRONG: dict[str, dict[str, Any]] = {
    "ramp of one": {"ramp": [1]},
    "ramp of three": {"ramp": [1, 2, 3]},
    "ramp that is a number": {"ramp": 1},
    "ramp of words": {"ramp": ["a", "b"]},
    "ramp without end": {"ramp": [1, math.inf]},
    "ramp of no number": {"ramp": [math.nan, 1]},
    "ramp of no length": {"ramp": [1, 0]},
    "ramp of a number too large": {"ramp": [10**400, 1]},
    "ramp that is false": {"ramp": False},
    "hold that is short": {"holds": [HOLD[:-1]]},
    "hold that is a word": {"holds": ["x"]},
    "holds that are none": {"holds": None},
    "hold with a reason that is none": {"holds": [[HOLD[0], None, *HOLD[2:]]]},
    "hold from after all calendars": {"holds": [[*HOLD[:3], 1e300, *HOLD[4:]]]},
    "hold until never": {"holds": [[*HOLD[:4], math.inf, True]]},
    "hold until before the epoch": {"holds": [[*HOLD[:4], -1, True]]},
    "hold of a kind that is a list": {"holds": [[[["all"], ""], *HOLD[1:]]]},
    "hold of an unknown kind": {"holds": [[["planet", ""], *HOLD[1:]]]},
    "hold with a number for a name": {"holds": [[["queue", 5], *HOLD[1:]]]},
    "interrupt that is a number": {"holds": [[*HOLD[:5], 1]]},
    "parked that is a word": {"parked": "no"},
    "log of an unhashable verb": {"log": [[1.0, "a", ["down"], [], "", None]]},
    "log of a time too large": {"log": [[10**400, "a", "down", [], "", None]]},
    "schema that is a word": {"schema": "1"},
    "schema that is infinite": {"schema": math.inf},
    "schema that is true": {"schema": True},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_told_with_what_to_do(wrong: dict[str, Any]) -> None:
    with pytest.raises(CorruptRecord, match="`graceful up` replaces it"):
        decode_mode(json.dumps({**GOOD, **wrong}), 1)


@pytest.mark.parametrize("text", ["null", "[]", "5", '"x"', "[" * 200_000, "1" * 5000, "{}"])
def test_what_is_no_mode_at_all(text: str) -> None:
    with pytest.raises(CorruptRecord, match="`graceful up` replaces it"):
        decode_mode(text, 1)


@pytest.mark.parametrize("version", [math.inf, math.nan, -1, 10**30, True, "1", [1], None])
def test_a_version_that_is_none(version: Any) -> None:
    with pytest.raises(CorruptRecord, match="version"):
        decode_mode(encode_mode(MODE), version)


def test_what_is_right_comes_back_and_what_is_later_is_told() -> None:
    mode = decode_mode(encode_mode(MODE), 7)
    assert (mode.holds, mode.log, mode.version) == (MODE.holds, MODE.log, 7)
    with pytest.raises(NewerRecord):
        decode_mode('{"schema": 2}', 1)
