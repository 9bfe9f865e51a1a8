"""GD4xx: what else is in a pod: probes and other containers."""

from __future__ import annotations

import re

from celery_graceful.doctor.checks.check import Problem, Problems
from celery_graceful.doctor.checks.worker_view import WorkerView, worker_check
from celery_graceful.doctor.finding import ERROR, WARNING, Severity

_ASKS = re.compile(r"(?m)^(?:(?!\bcelery\b).)*\bcelery\b.*\b(?:inspect|status)\b")
#: A ping waits one second for answers, after Celery and the app were imported.
_QUICKEST = 3.0
#: Images of proxies that a worker's connections go through.
_PROXIES = re.compile(
    r"(?:^|[/-])(?:cloud-?sql-proxy|cloudsql-proxy|pgbouncer|pgcat|stunnel\d?|haproxy|proxysql"
    r"|alloydb-auth-proxy)\b|(?:^|/)gce-proxy\b"
)


@worker_check(
    "GD401",
    WARNING,
    "A liveness probe that runs `celery inspect` or `celery status` (an error if it has less than"
    " 3 s, or on the solo pool)",
    why="It fails while the broker is away, and while a worker drains, which no longer answers."
    " Kubernetes kills the container in the middle of its tasks, and all others with it.",
    fix="no liveness probe, or one that checks the process alone",
)
def liveness(view: WorkerView) -> Problems:
    probe = view.worker.liveness
    if probe is None or not _ASKS.search(probe.text):
        return
    what, place = f"the liveness probe asks over the broker ({probe.text})", probe.place
    severity: Severity | None = ERROR
    if probe.timeout.value < _QUICKEST:
        timeout = f"{probe.timeout.value:g} s"
        what = f"the liveness probe ({probe.text}) takes more than its {timeout}"
        place = probe.timeout.place
    elif view.pool == "solo":
        what = "on the solo pool a worker answers no probe while a task runs"
    else:
        severity = None
    fix = "no livenessProbe: a worker that cannot continue ends by itself"
    yield Problem(what, fix, place, severity=severity)


@worker_check(
    "GD402",
    WARNING,
    "A proxy for the database or broker as a plain container of the worker's pod",
    why="All containers get SIGTERM at once. The proxy ends first, and the worker can neither"
    " finish its item nor hand over.",
    fix="a native sidecar (`initContainers` with `restartPolicy: Always`), which ends after the"
    " worker; or a `preStop` hook for the proxy",
)
def proxies(view: WorkerView) -> Problems:
    for other in view.worker.beside:
        if not other.outlives and _PROXIES.search(other.image):
            yield Problem(
                f"the proxy {other.name} ({other.image}) gets SIGTERM at the same moment",
                f"move {other.name} to initContainers, with restartPolicy: Always",
                other.place,
            )
