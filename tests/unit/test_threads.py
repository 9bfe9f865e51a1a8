"""What threads share."""

from __future__ import annotations

import threading
from collections import OrderedDict

import pytest

from celery_graceful._celery.threads.native import Bell, StillChanging, snapshot


class Restless(OrderedDict[int, int]):
    """Another thread changes it in the middle of a copy, the first few times."""

    changes = 3

    def __iter__(self):  # type: ignore[no-untyped-def]
        for key in super().__iter__():
            if self.changes:
                self.changes -= 1
                changing = threading.Thread(target=self.setdefault, args=(-self.changes - 1, 0))
                changing.start()
                changing.join()
            yield key


def test_a_copy_of_what_changes_is_made_in_the_end() -> None:
    assert sorted(snapshot(Restless({1: 1, 2: 2}))) == [-3, -2, -1, 1, 2]


def test_what_changes_all_the_time_is_not_taken_for_empty() -> None:
    class Never(dict[int, int]):
        def __iter__(self):  # type: ignore[no-untyped-def]
            raise RuntimeError("dictionary changed size during iteration")

    with pytest.raises(StillChanging):
        snapshot(Never())


def test_a_wait_that_is_longer_than_the_system_can_wait_raises_nothing() -> None:
    bell = Bell()
    bell.ring()
    assert bell.wait(1e300)
