"""The doctor at a worker's start: what is wrong in its own configuration and its own unit."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from celery_graceful.doctor.checks.check import Facts
from celery_graceful.doctor.commands.worker_command import Command
from celery_graceful.doctor.examine import findings_of, findings_of_processes
from celery_graceful.doctor.facts import NOWHERE, Deployed, Given, Manager
from celery_graceful.doctor.facts.app_configuration import app_facts
from celery_graceful.doctor.facts.processes import Process, variables_of, workers_in
from celery_graceful.doctor.facts.running_workers import Seen
from celery_graceful.doctor.finding import Finding, in_order
from celery_graceful.grace.deadlines import Silent
from celery_graceful.grace.systemd import own_unit, show

if TYPE_CHECKING:
    from celery import Celery


#: What systemd is asked for.
PROPERTIES = "Id,KillMode,ExecStop"


def configuration_findings(
    app: Celery,
    *,
    grace: float | None = None,
    pool: str | None = None,
    queues: tuple[str, ...] | None = None,
    environ: Mapping[str, str] | None = None,
    seen: Seen | None = None,
    ancestry: Iterable[Process] = (),
    unit: str = "",
) -> list[Finding]:
    """What is wrong with a worker's configuration, worst first; reads no file, connects to nothing.

    Args:
        app: the worker's app, its tasks loaded.
        grace: seconds until SIGKILL, if the worker knows.
        pool: the name of its pool; by default what the app says.
        queues: what it consumes; by default what the app says.
        environ: its environment; by default that of this process.
        seen: how long tasks, items and runs took, if known.
        ancestry: the processes above this one, and itself.
        unit: what systemd says of the worker's unit, by
            :func:`ask_unit`.

    Raises:
        SettingsError: a ``graceful_*`` setting is wrong.
    """
    environ = os.environ if environ is None else environ
    facts = app_facts(app, environ=environ)
    if pool:
        facts = replace(facts, pool=pool)
    options = {} if queues is None else {"queues": ",".join(queues)}
    worker = Deployed(
        Manager.THIS,
        "this worker",
        NOWHERE,
        Command("", words=("celery", "worker"), options=options),
    )
    known = Facts(facts, (worker,), seen=seen or Seen())
    started = [
        *workers_in(ancestry, only=os.getpid()),
        *deployed_by(unit, facts.pool, environ),
    ]
    if grace is not None:
        period = Given(grace, NOWHERE, written=False)
        started = [replace(each, grace=period) for each in started]
    found = in_order([*findings_of(known, grace=grace), *findings_of_processes(facts, started)])
    # What other workers consume is not known here.
    return [each for each in found if each.id not in ("GD803", "GD804")]


def ask_unit(environ: Mapping[str, str], patience: float = 1.0) -> str:
    """What systemd says of this process's unit; empty outside of one, and if it says nothing."""
    unit = own_unit(environ)
    if unit is None:
        return ""
    try:
        return show(unit, PROPERTIES, environ, patience)
    except Silent:
        return ""


def deployed_by(shown: str, pool: str, environ: Mapping[str, str]) -> list[Deployed]:
    """The worker as its unit stops it: a list of one, or of none.

    Args:
        shown: by :func:`ask_unit`.
        pool: the name of the worker's pool.
        environ: its environment.
    """
    properties = dict(line.partition("=")[::2] for line in shown.splitlines())
    # With a command of its own systemd signals what is left when that has ended.
    if "KillMode" not in properties or properties.get("ExecStop"):
        return []
    return [
        Deployed(
            Manager.SYSTEMD,
            f"unit {properties.get('Id', '')}",
            NOWHERE,
            Command("", words=("celery", "worker"), options={"pool": pool} if pool else {}),
            environment=variables_of(environ),
            options={
                "KillMode": Given(properties["KillMode"], NOWHERE),
                "Restart": Given("not asked", NOWHERE),
            },
        )
    ]
