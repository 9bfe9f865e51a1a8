"""Running workers, as the checks of files see workers."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from celery_graceful.doctor.checks.base import named
from celery_graceful.doctor.command import Command
from celery_graceful.doctor.facts import Deployed, Given, Manager, Place
from celery_graceful.doctor.running import Running

_NOWHERE = Place("")


def as_deployed(running: Iterable[Running]) -> list[Deployed]:
    """Running workers as the checks of files see them; those that are alike as one."""
    found = []
    for _, group in groupby(sorted(running, key=_kind), key=_kind):
        alike = list(group)
        first = alike[0]
        options = {"pool": first.pool, "queues": ",".join(first.queues)}
        period = None if first.grace is None else Given(first.grace, _NOWHERE)
        variables = {"REMAP_SIGTERM": Given(first.remap_sigterm, _NOWHERE)}
        found.append(
            Deployed(
                manager=Manager.RUNNING,
                name=f"{named([each.hostname for each in alike])} (running)",
                place=_NOWHERE,
                command=Command("", words=("celery", "worker"), options=options),
                grace=period,
                grace_setting=f"the grace period ({first.grace_source})",
                grace_form="a grace period of {seconds} s",
                environment=variables if first.remap_sigterm else {},
            )
        )
    return found


def _kind(worker: Running) -> tuple[Any, ...]:
    known = (worker.pool, worker.queues, worker.remap_sigterm, worker.grace_source)
    return (*known, worker.grace is None, worker.grace or 0.0)
