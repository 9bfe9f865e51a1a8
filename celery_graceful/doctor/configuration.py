"""The doctor at a worker's start: what its own configuration gets wrong."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from celery_graceful.doctor.app_facts import app_facts
from celery_graceful.doctor.checks.base import Scene
from celery_graceful.doctor.command import Command
from celery_graceful.doctor.examine import findings_of, findings_of_processes
from celery_graceful.doctor.facts import Deployed, Given, Manager, Place, Seen
from celery_graceful.doctor.finding import Finding, in_order
from celery_graceful.doctor.own_unit import deployed_by
from celery_graceful.doctor.tree import Process, workers_in

if TYPE_CHECKING:
    from celery import Celery


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
    """What is wrong with a worker's configuration, the worst first; reads no file, asks nobody.

    Args:
        app: the worker's app, its tasks loaded.
        grace: seconds until SIGKILL, if the worker knows.
        pool: the name of its pool; by default what the app says.
        queues: what it consumes; by default what the app says.
        environ: its environment; by default that of this process.
        seen: how long tasks, items and runs took, if known.
        ancestry: the processes above this one, and itself.
        unit: what systemd says of the worker's unit, by
            :func:`~celery_graceful.doctor.own_unit.ask_unit`.

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
        Place(""),
        Command("", words=("celery", "worker"), options=options),
    )
    scene = Scene(facts, (worker,), seen=seen or Seen())
    started = [
        *workers_in(ancestry, only=os.getpid()),
        *deployed_by(unit, facts.pool, environ),
    ]
    if grace is not None:
        known = Given(grace, Place(""), written=False)
        started = [replace(each, grace=known) for each in started]
    found = in_order([*findings_of(scene, grace=grace), *findings_of_processes(facts, started)])
    # What other workers consume is not known here.
    return [each for each in found if each.id not in ("GD803", "GD804")]
