"""Every planted fault is found, and it alone; its fixed twin is clean."""

from __future__ import annotations

import pytest

from celery_graceful.doctor.checks import ALL, OF_FACTS
from celery_graceful.doctor.examine import examine
from celery_graceful.doctor.facts import AppFacts
from celery_graceful.doctor.finding import Finding
from celery_graceful.doctor.readers import read_text
from tests.unit.doctor.planted import FILES, PLANTED, Planted
from tests.unit.doctor.sound import APP

#: What is found beside the fault itself: a signal to the group is told of as well.
BESIDE = {"GD206": {"GD202"}}
#: A grace period that is changed in one place is not what the worker is told in the other.
FOLLOWS = "GD110"


def found(text: str, planted: Planted, app: AppFacts) -> list[Finding]:
    outcomes = [read_text(text, planted.file)] if planted.file else []
    return list(examine(app, outcomes, planted.seen, asked_for="shop").findings)


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_the_fault_is_found_and_nothing_else(planted: Planted) -> None:
    findings = found(planted.bad, planted, planted.bad_app)
    ids = {each.id for each in findings} - ({FOLLOWS} - {planted.finds})
    assert ids == {planted.finds} | BESIDE.get(planted.finds, set())
    lines = planted.bad.splitlines()
    for each in findings:
        assert each.what
        assert each.fix
        assert each.where
        assert each.line <= len(lines)


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_the_fixed_twin_is_clean(planted: Planted) -> None:
    assert found(planted.good, planted, planted.good_app) == []


@pytest.mark.parametrize(("grace", "ids"), [("30s", ["GD109"]), ("70s", [])])
def test_a_supervisord_in_a_container(grace: str, ids: list[str]) -> None:
    compose = f"services:\n  all:\n    command: supervisord -n\n    stop_grace_period: {grace}\n"
    outcomes = [read_text(compose, "c.yaml"), read_text(FILES["supervisord.conf"], "s.conf")]
    assert [each.id for each in examine(APP, outcomes).findings] == ids


def test_every_check_has_a_fault_that_it_finds() -> None:
    elsewhere = {"GD109", "GD310", "GD901", "GD902", "GD903", "GD904"}
    assert {each.finds for each in PLANTED} == {check.id for check in OF_FACTS} - elsewhere
    assert len(PLANTED) > 50


def test_ids_are_used_once() -> None:
    ids = [check.id for check in ALL]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("file", [name for name in FILES if name != "Procfile"])
def test_the_sound_files_are_read_and_clean(file: str) -> None:
    outcome = read_text(FILES[file], file)
    assert len(outcome.workers) == 1
    assert examine(APP, [outcome], asked_for="shop").findings == ()
