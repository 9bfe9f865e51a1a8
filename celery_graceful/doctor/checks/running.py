"""GD9xx: what running workers answer, beside each other and beside the files."""

from __future__ import annotations

from collections.abc import Iterator

from celery_graceful.doctor.checks.base import Check, Scene, Sight, named
from celery_graceful.doctor.finding import Severity
from celery_graceful.doctor.running import Running

#: How far two periods may be apart to count as the same, in seconds.
_SAME = 1.0


def _hosts(workers: list[Running]) -> str:
    return named(sorted(worker.hostname for worker in workers))


def no_grace(scene: Scene) -> Iterator[Sight]:
    """Workers that do not know when they are killed."""
    unknowing = [worker for worker in scene.seen.running if worker.grace is None]
    if unknowing:
        yield Sight(
            f"{_hosts(unknowing)}: running without a known grace period",
            "GRACEFUL_GRACE_PERIOD in the worker's environment, beside the manager's own setting",
            setting="graceful_grace_period",
        )


def other_grace(scene: Scene) -> Iterator[Sight]:
    """Workers that know another period than the files say."""
    told = [(w.grace.value, w.seconds_to_stop or 0.0) for w in scene.workers if w.grace]
    if not told or len(told) < len(scene.workers) or not scene.has_files:
        return
    longest = max(whole for whole, _ in told)
    knowing: dict[tuple[float, str], list[Running]] = {}
    for worker in scene.seen.running:
        if worker.grace is not None:
            knowing.setdefault((worker.grace, worker.grace_source), []).append(worker)
    for (period, source), workers in sorted(knowing.items()):
        if any(left - _SAME <= period <= whole + _SAME for whole, left in told):
            continue
        yield Sight(
            f"{_hosts(workers)}: running, and counting on {period:g} s ({source}); the files say"
            f" {' or '.join(sorted({f'{left:g} s' for _, left in told}))}",
            "the same time in both; or deploy what the files say",
            setting="graceful_grace_period",
            severity=Severity.ERROR if period > longest else Severity.WARNING,
        )


def versions(scene: Scene) -> Iterator[Sight]:
    """Workers of several versions."""
    ours = {worker.version for worker in scene.seen.running}
    celerys = {worker.celery for worker in scene.seen.running}
    for package, found, severity in (
        ("celery-graceful", ours, Severity.WARNING),
        ("Celery", celerys, Severity.NOTE),
    ):
        if len(found) > 1:
            yield Sight(
                f"workers with {package} {' and '.join(sorted(found))} run side by side",
                "end the deploy: the same image or environment for all workers",
                setting="versions",
                severity=severity,
            )


def disagreeing(scene: Scene) -> Iterator[Sight]:
    """Workers whose settings differ where they must not."""
    names = sorted({name for worker in scene.seen.running for name in worker.settings})
    for name in names:
        having: dict[str, list[Running]] = {}
        for worker in scene.seen.running:
            if name in worker.settings:
                having.setdefault(worker.settings[name], []).append(worker)
        if len(having) > 1:
            each = (f"{value or 'not set'} on {_hosts(on)}" for value, on in sorted(having.items()))
            yield Sight(f"{name} is {', and '.join(each)}", f"one {name} for all", setting=name)


CHECKS = (
    Check(
        "GD901",
        Severity.WARNING,
        "Running workers that do not know their grace period",
        "They wait for their tasks until SIGKILL: nothing is handed over before, late-acked"
        " messages come back when the broker gives up on them, and early-acked tasks are gone"
        " without a line in the log.",
        "`GRACEFUL_GRACE_PERIOD=60s`, the same as the manager's own setting",
        no_grace,
    ),
    Check(
        "GD902",
        Severity.ERROR,
        "A running worker that counts on more time than the files give it (a warning if on less)",
        "It means to hand over shortly before a SIGKILL that has come by then. With less, tasks are"
        " cut off that had the time to end.",
        "one grace period, in the manager's setting and in `GRACEFUL_GRACE_PERIOD`",
        other_grace,
    ),
    Check(
        "GD903",
        Severity.WARNING,
        "Running workers of several versions of celery-graceful (a note for Celery)",
        "They understand each other, but each keeps the promises of its own version only. It should"
        " last for a deploy, and no longer.",
        "the same version everywhere",
        versions,
    ),
    Check(
        "GD904",
        Severity.ERROR,
        "Running workers that do not agree on `graceful_store`, `graceful_namespace`,"
        " `graceful_lease_ttl` or `graceful_resume_queue`",
        "Workers with another store or namespace do not see each other's runs: a run is carried"
        " twice, or not taken up. With another lease, living runners are taken for dead.",
        "the same configuration for all workers of an app",
        disagreeing,
    ),
)
