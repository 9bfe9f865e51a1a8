"""Each process begins with long tests."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.order import dealt, in_last_part, refuse_addresses


def test_each_part_has_its_share_of_both() -> None:
    assert dealt("ABCDE", "1234", 2) == list("AB12CDE34")


def test_nothing_is_lost_where_there_is_little() -> None:
    assert sorted(dealt("A", "12", 4)) == ["1", "2", "A"]


def test_what_belongs_together_stays_with_one_process() -> None:
    found = in_last_part("WEB", "0123456789abcdefghijklmnopqrstuvwxyz", 3)
    assert "WEB" in "".join(found[len(found) * 2 // 3 :])
    assert in_last_part("WEB", "", 4) == list("WEB")


def collected(*names: str) -> pytest.CollectReport:
    tests = [SimpleNamespace(nodeid=name) for name in names]
    return pytest.CollectReport("test_a.py", "passed", None, tests)  # type: ignore[arg-type]


def test_an_address_in_the_id_of_a_test_is_an_error_that_names_it() -> None:
    bad = f"test_a.py::test_it[{object()}]"
    report = collected("test_a.py::test_it[sound]", bad)
    refuse_addresses(report)
    assert report.failed
    assert bad in str(report.longrepr)
    assert "sound" not in str(report.longrepr)


def test_other_ids_are_no_errors() -> None:
    report = collected("test_a.py::test_it[at 0]", "test_a.py::test_it[read at 0x1]")
    refuse_addresses(report)
    assert report.passed
