"""The unit of the worker that asks."""

from __future__ import annotations

import pytest

from celery_graceful.doctor.startup import ask_unit, configuration_findings
from tests.unit.doctor.test_app_configuration import app_with

MIXED = "Id=shop.service\nKillMode=mixed\nExecStop=\n"
GROUP = MIXED.replace("mixed", "control-group")


def ids(unit: str, pool: str = "prefork", **environ: str) -> list[str]:
    found = configuration_findings(app_with(), environ=environ, pool=pool, unit=unit)
    return [each.id for each in found]


def test_a_unit_that_signals_its_whole_group() -> None:
    (finding,) = configuration_findings(app_with(), environ={}, unit=GROUP)
    assert finding.id == "GD201"
    assert "unit shop.service: KillMode=control-group sends SIGTERM to all" in finding.what
    assert finding.fix == "KillMode=mixed"


@pytest.mark.parametrize("unit", ["", MIXED, GROUP.replace("ExecStop=", "ExecStop={ path=… }")])
def test_units_that_do_not(unit: str) -> None:
    assert ids(unit) == []


def test_threads_do_not_mind_nor_children_that_ignore_it() -> None:
    assert ids(GROUP, pool="threads") == []
    assert "GD201" not in ids(GROUP, REMAP_SIGTERM="SIGQUIT")


def test_a_worker_that_knows_its_period_gives_late_acked_tasks_back() -> None:
    late = app_with(task_acks_late=True)

    def found(grace: float | None = None, **environ: str) -> list[str]:
        given = configuration_findings(late, environ=environ, unit=GROUP, grace=grace)
        return [each.id for each in given if each.id != "GD105"]

    assert found() == ["GD201", "GD206"]
    assert found(grace=90.0) == ["GD201"]
    assert found(GRACEFUL_GRACE_PERIOD="90s") == ["GD201"]
    assert found(GRACEFUL_GRACE_PERIOD="0") == ["GD201", "GD206"]


def test_outside_of_a_unit_nobody_is_asked() -> None:
    assert ask_unit({}) == ""
