from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_graceful.durations import format_seconds, parse


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        (" 1 H 30 M ", 5400),
        ("500ms", 0.5),
        ("7d", 604800),
        ("1d2h3m4s5ms", 93784.005),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("0", 0),
        ("0s", 0),
        ("45", 45),
        ("2.5", 2.5),
        (30, 30),
        (0.25, 0.25),
        (timedelta(minutes=2), 120),
    ],
)
def test_parse(text: object, seconds: float) -> None:
    result = parse(text)
    assert result == seconds
    assert type(result) is float


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "empty duration"),
        ("  ", "empty duration"),
        ("soon", "cannot read 'soon'"),
        ("5 minutes", "cannot read 'inutes'"),
        ("5x", "cannot read '5x'"),
        ("1h5", "cannot read '5'"),
        ("30m1h", "the largest first"),
        ("1m1m", "each unit once"),
        ("-5s", "negative"),
        ("1h-5m", "cannot read '-5m'"),
        (-1, "negative"),
        (timedelta(seconds=-1), "negative"),
        ("nan", "cannot read 'nan'"),
        ("1e3", "cannot read '1e3'"),
        (float("nan"), "not a finite"),
        (float("inf"), "not a finite"),
        (10**400, "not a finite"),
        ("9" * 400, "not a finite"),
        ("9" * 400 + "d", "not a finite"),
        ("٣s", "cannot read"),
        (None, "None is not a duration"),
        (True, "True is not a duration"),
        (b"5s", "is not a duration"),
        ([5], "is not a duration"),
    ],
)
def test_refused(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0004, "0s"),
        (0.5, "500ms"),
        (30, "30s"),
        (60, "1m"),
        (5400, "1h 30m"),
        (59.9996, "1m"),
        (604800, "7d"),
        (93784.005, "1d 2h 3m 4s 5ms"),
    ],
)
def test_format(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize("seconds", [-1, float("inf"), float("nan")])
def test_format_refuses(seconds: float) -> None:
    with pytest.raises(ValueError, match="duration"):
        format_seconds(seconds)


@given(st.integers(min_value=0, max_value=10**13))
def test_round_trip(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse(format_seconds(seconds)) == seconds


@given(st.text(alphabet="0123456789.dhms -", max_size=12))
def test_every_text_is_read_or_refused(text: str) -> None:
    try:
        assert parse(text) >= 0
    except ValueError as exc:
        message = str(exc)
    else:
        return
    assert repr(text) in message
