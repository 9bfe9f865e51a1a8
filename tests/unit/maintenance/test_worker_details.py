"""What a worker's report says beside the maintenance, from any version and any writer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from celery_graceful.maintenance.worker_details import (
    NO_DETAILS,
    Details,
    Process,
    read_details,
)
from celery_graceful.maintenance.workers import decode_report, encode_report
from celery_graceful.processes.leaks.notes import Leak
from celery_graceful.views.maintenance import details_as_data
from tests.unit.maintenance.workers import report

DETAILS = Details(
    plugin="0.4",
    celery="5.6.0",
    host="pod-1",
    grace=30.0,
    margin=6.0,
    grace_source="systemd",
    processes=(Process("ssh -N", "shop.sync", "s1", 12, 7, 5.0),),
    process_count=1,
    leaks=(Leak(9.0, ("shop.sync[s1]",), 13, "sleep 600", 0.5, "runs on", "w@h", "shop"),),
    leak_mode="warn",
)


def test_they_come_back_as_they_were() -> None:
    found = decode_report(encode_report(report(details=DETAILS)))
    assert found is not None
    assert found.details == DETAILS


def test_a_report_of_an_earlier_version_has_none() -> None:
    data = json.loads(encode_report(report()))
    del data["details"]
    found = decode_report(json.dumps(data))
    assert found is not None
    assert found.details == NO_DETAILS


WRONG: list[Any] = [
    None,
    [],
    {"grace": "long", "plugin": 5, "host": ["x"], "process_count": -1},
    {"processes": "x", "leaks": 5},
    {"processes": [None, {}, {"pid": 1}], "leaks": [{"at": 1}, {"at": 10**30, "tasks": 5}]},
    {"of a later version": 1},
]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_left_out_and_the_report_counts(wrong: Any) -> None:
    data = {**json.loads(encode_report(report())), "details": wrong}
    found = decode_report(json.dumps(data))
    assert found is not None
    assert found.paused
    assert found.details == NO_DETAILS


def test_what_is_right_beside_it_is_kept() -> None:
    process = {"command": "a", "task": "t", "id": "1", "pid": 1, "owner": 2, "since": 3}
    found = read_details({"plugin": "1", "grace": -5, "processes": [{}, process]})
    assert (found.plugin, found.grace) == ("1", None)
    assert found.processes == (Process("a", "t", "1", 1, 2, 3.0),)


def test_they_are_plain_data() -> None:
    data = json.loads(json.dumps(details_as_data(DETAILS)))
    assert data["grace_period"] == 30.0
    assert data["processes"][0]["pid"] == 12
    assert data["leaks"][0]["done"] == "runs on"
