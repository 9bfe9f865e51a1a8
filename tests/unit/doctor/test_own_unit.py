"""The unit of the worker that asks."""

from __future__ import annotations

import pytest

from celery_graceful.doctor.configuration import configuration_findings
from celery_graceful.doctor.own_unit import ask_unit
from tests.unit.doctor.test_app_facts import app_with

MIXED = "Id=shop.service\nKillMode=mixed\nExecStop=\n"
GROUP = MIXED.replace("mixed", "control-group")


def ids(unit: str, pool: str = "prefork", **environ: str) -> list[str]:
    found = configuration_findings(app_with(), environ=environ, pool=pool, unit=unit)
    return [each.id for each in found]


def test_a_unit_that_signals_its_whole_group() -> None:
    (finding,) = configuration_findings(app_with(), environ={}, unit=GROUP)
    assert finding.id == "GD201"
    assert "unit shop.service: KillMode=control-group sends SIGTERM to all" in finding.what
    assert finding.mend == "KillMode=mixed"


@pytest.mark.parametrize("unit", ["", MIXED, GROUP.replace("ExecStop=", "ExecStop={ path=… }")])
def test_units_that_do_not(unit: str) -> None:
    assert ids(unit) == []


def test_threads_do_not_mind_nor_children_that_ignore_it() -> None:
    assert ids(GROUP, pool="threads") == []
    assert "GD201" not in ids(GROUP, REMAP_SIGTERM="SIGQUIT")


def test_outside_of_a_unit_nobody_is_asked() -> None:
    assert ask_unit({}) == ""
