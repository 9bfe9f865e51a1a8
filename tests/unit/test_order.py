"""Each process begins with long tests."""

from __future__ import annotations

from tests.order import dealt, in_last_part


def test_each_part_has_its_share_of_both() -> None:
    assert dealt("ABCDE", "1234", 2) == list("AB12CDE34")


def test_nothing_is_lost_where_there_is_little() -> None:
    assert sorted(dealt("A", "12", 4)) == ["1", "2", "A"]


def test_what_belongs_together_stays_with_one_process() -> None:
    found = in_last_part("WEB", "0123456789abcdefghijklmnopqrstuvwxyz", 3)
    assert "WEB" in "".join(found[len(found) * 2 // 3 :])
    assert in_last_part("WEB", "", 4) == list("WEB")
