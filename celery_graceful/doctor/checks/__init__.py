"""The checks: a file for each subject. A new check needs only its decorator to be in the table."""

from __future__ import annotations

from celery_graceful.doctor.checks import (
    broker,
    comparison,
    grace_period,
    inputs,
    pods,
    run_store,
    signals_sent,
    starts,
    tasks,
)
from celery_graceful.doctor.checks.check import Check

_MODULES = (
    inputs,
    grace_period,
    signals_sent,
    starts,
    pods,
    tasks,
    broker,
    run_store,
    comparison,
)


def _checks_in(*modules: object) -> tuple[Check, ...]:
    found = [each for module in modules for each in vars(module).values()]
    return tuple(sorted((c for c in found if isinstance(c, Check)), key=lambda check: check.id))


#: Every check, by id; those that are functions over facts; and those for running processes.
ALL = _checks_in(*_MODULES)
OF_FACTS = tuple(check for check in ALL if check.find is not None)
OF_PROCESSES = _checks_in(signals_sent, starts)
