"""A call that takes too long is left to itself; what it returns or raises comes through."""

from __future__ import annotations

import time

import pytest

from celery_graceful.time_limits import within


def test_what_is_returned_comes_through() -> None:
    assert within(5, lambda: None) is None


def test_an_error_comes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 / 0)


def test_what_takes_too_long_is_cancelled() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.1 s"):
        within(0.1, lambda: time.sleep(15))
    assert time.monotonic() - began < 10
