"""What running workers answer, and what the doctor makes of it."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from celery_graceful.doctor.examine import examine
from celery_graceful.doctor.facts import AppFacts
from celery_graceful.doctor.facts.running_workers import Running, Seen, from_answer
from celery_graceful.doctor.finding import Finding, Severity
from celery_graceful.doctor.readers import read_text
from tests.unit.doctor.sound import APP, KUBERNETES, UNIT

ONE = Running(
    hostname="worker@one",
    host="one",
    app="shop",
    namespace="shop",
    pool="prefork",
    slots=4,
    queues=("celery",),
    version="1.0",
    celery="5.6.0",
    grace=60.0,
    margin=10.0,
    grace_source="GRACEFUL_GRACE_PERIOD",
    settings={"graceful_store": "redis://host/0", "graceful_lease_ttl": "30s"},
)
OTHER = replace(ONE, hostname="worker@two", host="two")


def found(*running: Running, file: str = "", app: AppFacts = APP) -> list[Finding]:
    outcomes = [read_text(file, "worker.file")] if file else []
    return list(examine(app, outcomes, Seen(running=running)).findings)


def ids(*running: Running, file: str = "", app: AppFacts = APP) -> list[str]:
    return [each.id for each in found(*running, file=file, app=app)]


@pytest.mark.parametrize("file", ["", KUBERNETES, UNIT])
def test_workers_that_agree_are_well(file: str) -> None:
    assert ids(ONE, OTHER, file=file) == []


def test_one_that_does_not_know_its_period() -> None:
    (finding,) = found(ONE, replace(OTHER, grace=None, grace_source=""))
    assert (finding.id, finding.severity) == ("GD901", Severity.WARNING)
    assert finding.what.startswith("worker@two: ")
    assert "GRACEFUL_GRACE_PERIOD" in finding.fix


@pytest.mark.parametrize(
    ("seconds", "severity"),
    [(90.0, Severity.ERROR), (30.0, Severity.WARNING), (60.0, None), (55.0, None), (54.5, None)],
)
def test_one_that_counts_on_another_period_than_the_files(
    seconds: float, severity: Severity | None
) -> None:
    findings = found(ONE, replace(OTHER, grace=seconds), file=KUBERNETES)  # 60 s, a hook takes 5
    assert [each.severity for each in findings] == ([] if severity is None else [severity])
    if severity:
        assert findings[0].id == "GD902"
        assert "worker@two: running, and expecting" in findings[0].what


def test_versions_side_by_side() -> None:
    (finding,) = found(ONE, replace(OTHER, version="1.1"))
    assert (finding.id, finding.severity) == ("GD903", Severity.WARNING)
    (finding,) = found(ONE, replace(OTHER, celery="5.5.3"))
    assert (finding.id, finding.severity) == ("GD903", Severity.NOTE)
    assert "5.5.3 and 5.6.0" in finding.what


def test_settings_that_must_agree() -> None:
    (finding,) = found(ONE, replace(OTHER, settings={**ONE.settings, "graceful_lease_ttl": "5s"}))
    assert (finding.id, finding.severity) == ("GD904", Severity.ERROR)
    assert finding.what == "graceful_lease_ttl is 30s on worker@one, and 5s on worker@two"
    assert ids(ONE, replace(OTHER, settings={})) == [], "an older one does not tell"


def test_a_store_for_one_host_with_workers_on_two() -> None:
    local = replace(APP, store="sqlite", store_url="sqlite:///runs.sqlite3")
    (finding,) = found(ONE, OTHER, app=local)
    assert finding.id == "GD801"
    assert "workers run on one, two" in finding.what
    assert ids(ONE, replace(OTHER, host="one"), app=local) == []


def test_without_files_running_workers_are_examined_those_alike_as_one() -> None:
    short = [replace(ONE, grace=20.0, hostname=f"worker@{n}") for n in range(5)]
    (finding,) = found(*short)
    assert finding.id == "GD105"
    assert finding.what.startswith("worker@0, worker@1, worker@2 and 2 more (running): ")
    cold = replace(ONE, remap_sigterm="QUIT")
    assert ids(cold) == ["GD212"]
    assert ids(*short, file=KUBERNETES) == ["GD902"]


def test_an_answer_comes_back_as_it_was_sent() -> None:
    sent: dict[str, Any] = {**asdict(ONE), "queues": ["celery"]}
    assert from_answer({"vitals": sent}) == ONE
    assert from_answer({"vitals": {**sent, "later": 1}}) == ONE


@pytest.mark.parametrize("strange", [None, "no", {}, {"error": "x"}, {"vitals": {"pool": "x"}}])
def test_an_answer_of_another_kind_is_none(strange: Any) -> None:
    assert from_answer(strange) is None
