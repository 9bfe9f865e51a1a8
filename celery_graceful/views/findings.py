"""Findings of the doctor, and the workers that it examined, as plain data."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from celery_graceful.doctor.facts import Deployed
from celery_graceful.doctor.facts.running_workers import Running
from celery_graceful.doctor.finding import Finding

#: Raised when a field changes its meaning or goes away.
SCHEMA = 1


def finding_as_data(finding: Finding) -> dict[str, Any]:
    """A finding: what, where, why and the fix."""
    return {
        "id": finding.id,
        "severity": finding.severity.word,
        "file": finding.file or None,
        "line": finding.line or None,
        "setting": finding.subject or None,
        "what": finding.what,
        "why": finding.why,
        "fix": finding.fix,
    }


def deployed_as_data(worker: Deployed) -> dict[str, Any]:
    """A worker as a file deploys it."""
    return {
        "manager": worker.manager.value,
        "name": worker.name,
        "file": worker.place.file,
        "line": worker.place.line or None,
        "command": worker.command.text,
        "seconds_to_stop": worker.seconds_to_stop,
        "copies": worker.copies.value if worker.copies else None,
    }


def running_as_data(worker: Running) -> dict[str, Any]:
    """What a running worker answered."""
    return asdict(worker)
