"""Each process begins with long tests."""

from __future__ import annotations

from tests.order import dealt


def test_each_part_has_its_share_of_both() -> None:
    assert dealt("ABCDE", "1234", 2) == list("AB12CDE34")


def test_nothing_is_lost_where_there_is_little() -> None:
    assert sorted(dealt("A", "12", 4)) == ["1", "2", "A"]
