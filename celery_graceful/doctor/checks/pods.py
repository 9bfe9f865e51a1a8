"""GD4xx: what else is in a pod: probes and neighbours."""

from __future__ import annotations

import re
from collections.abc import Iterator

from celery_graceful.doctor.checks.base import Check, Scene, Sight, per_worker
from celery_graceful.doctor.checks.stops import pool_of
from celery_graceful.doctor.facts import Deployed
from celery_graceful.doctor.finding import Severity

_ASKS = re.compile(r"(?m)^(?:(?!\bcelery\b).)*\bcelery\b.*\b(?:inspect|status)\b")
#: A ping waits one second for answers, after Celery and the app were imported.
_QUICKEST = 3.0
#: Images of proxies that a worker's connections go through.
_PROXIES = re.compile(
    r"(?:^|[/-])(?:cloud-?sql-proxy|cloudsql-proxy|pgbouncer|pgcat|stunnel\d?|haproxy|proxysql"
    r"|alloydb-auth-proxy)\b|(?:^|/)gce-proxy\b"
)


def liveness(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """The probe asks over the broker."""
    probe = worker.liveness
    if probe is None or not _ASKS.search(probe.text):
        return
    fix = "no livenessProbe: a worker that cannot go on ends by itself"
    if probe.timeout.value < _QUICKEST:
        yield Sight(
            f"{worker.name}: the liveness probe ({probe.text}) takes more than its"
            f" {probe.timeout.value:g} s",
            fix,
            probe.timeout.place,
            severity=Severity.ERROR,
        )
    elif pool_of(worker, scene.app) == "solo":
        what = f"{worker.name}: on the solo pool a worker answers no probe while a task runs"
        yield Sight(what, fix, probe.place, severity=Severity.ERROR)
    else:
        what = f"{worker.name}: the liveness probe asks over the broker ({probe.text})"
        yield Sight(what, fix, probe.place)


def proxies(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """A proxy ends at the same moment as the worker."""
    for other in worker.beside:
        if not other.outlives and _PROXIES.search(other.image):
            yield Sight(
                f"{worker.name}: the proxy {other.name} ({other.image}) is told to stop at the same"
                " moment",
                f"move {other.name} to initContainers, with restartPolicy: Always",
                other.place,
            )


CHECKS = (
    Check(
        "GD401",
        Severity.WARNING,
        "A liveness probe that runs `celery inspect` or `celery status` (an error if it has less"
        " than 3 s, or on the solo pool)",
        "It fails when the broker is away, and while a worker drains, which answers no more."
        " Kubernetes kills the container in the middle of its tasks, and all others with it.",
        "no liveness probe, or one that asks the process alone",
        per_worker(liveness),
    ),
    Check(
        "GD402",
        Severity.WARNING,
        "A proxy for the database or broker as a plain container of the worker's pod",
        "All containers get SIGTERM at once. The proxy is gone first, and the worker can neither"
        " finish its item nor hand over.",
        "a native sidecar (`initContainers` with `restartPolicy: Always`), which ends after the"
        " worker; or a `preStop` for the proxy",
        per_worker(proxies),
    ),
)
