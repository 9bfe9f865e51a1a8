"""GD9xx: running workers compared with each other and with the files."""

from __future__ import annotations

from collections.abc import Iterable

from celery_graceful.doctor.checks.check import Facts, Problem, Problems, app_check
from celery_graceful.doctor.facts.running_workers import Running
from celery_graceful.doctor.finding import ERROR, NOTE, WARNING, named

#: How far two periods may be apart to count as the same, in seconds.
_SAME = 1.0


def _hosts(workers: Iterable[Running]) -> str:
    return named(sorted(worker.hostname for worker in workers))


@app_check(
    "GD901",
    WARNING,
    "Running workers that do not know their grace period",
    why="They wait for their tasks until SIGKILL: nothing is handed over before, late-acked"
    " messages come back when the broker gives up on them, and early-acked tasks are lost without a"
    " line in the log.",
    fix="`GRACEFUL_GRACE_PERIOD=60s`, the same as the manager's own setting",
)
def no_grace(facts: Facts) -> Problems:
    unknowing = [worker for worker in facts.seen.running if worker.grace is None]
    if unknowing:
        yield Problem(
            f"{_hosts(unknowing)}: running without a known grace period",
            "GRACEFUL_GRACE_PERIOD in the worker's environment, beside the manager's own setting",
            setting="graceful_grace_period",
        )


@app_check(
    "GD902",
    ERROR,
    "A running worker that expects more time than the files give it (a warning if less)",
    why="It plans to hand over shortly before SIGKILL, but SIGKILL comes earlier. With less, tasks"
    " are cut off that had the time to end.",
    fix="one grace period, in the manager's setting and in `GRACEFUL_GRACE_PERIOD`",
)
def other_grace(facts: Facts) -> Problems:
    written = [(w.grace.value, w.seconds_to_stop or 0.0) for w in facts.workers if w.grace]
    if not written or len(written) < len(facts.workers) or not facts.has_files:
        return
    longest = max(whole for whole, _ in written)
    knowing: dict[tuple[float, str], list[Running]] = {}
    for worker in facts.seen.running:
        if worker.grace is not None:
            knowing.setdefault((worker.grace, worker.grace_source), []).append(worker)
    for (period, source), workers in sorted(knowing.items()):
        if any(left - _SAME <= period <= whole + _SAME for whole, left in written):
            continue
        yield Problem(
            f"{_hosts(workers)}: running, and expecting {period:g} s ({source}); the files say"
            f" {' or '.join(sorted({f'{left:g} s' for _, left in written}))}",
            "the same time in both; or deploy what the files say",
            setting="graceful_grace_period",
            severity=ERROR if period > longest else WARNING,
        )


@app_check(
    "GD903",
    WARNING,
    "Running workers of several versions of celery-graceful (a note for Celery)",
    why="They understand each other, but each keeps only the promises of its own version. This"
    " should last no longer than a deploy.",
    fix="the same version everywhere",
)
def versions(facts: Facts) -> Problems:
    running = facts.seen.running
    for package, found, severity in (
        ("celery-graceful", {worker.version for worker in running}, WARNING),
        ("Celery", {worker.celery for worker in running}, NOTE),
    ):
        if len(found) > 1:
            yield Problem(
                f"workers with {package} {' and '.join(sorted(found))} run side by side",
                "finish the deploy: the same image or environment for all workers",
                setting="versions",
                severity=severity,
            )


@app_check(
    "GD904",
    ERROR,
    "Running workers that do not agree on `graceful_store`, `graceful_namespace`,"
    " `graceful_lease_ttl` or `graceful_resume_queue`",
    why="Workers with another store or namespace do not see each other's runs: a run runs twice, or"
    " is not resumed. With another lease, runs of live workers are taken for crashed ones.",
    fix="the same configuration for all workers of an app",
)
def disagreeing(facts: Facts) -> Problems:
    names = sorted({name for worker in facts.seen.running for name in worker.settings})
    for name in names:
        having: dict[str, list[Running]] = {}
        for worker in facts.seen.running:
            if name in worker.settings:
                having.setdefault(worker.settings[name], []).append(worker)
        if len(having) > 1:
            each = (f"{value or 'not set'} on {_hosts(on)}" for value, on in sorted(having.items()))
            yield Problem(f"{name} is {', and '.join(each)}", f"one {name} for all", setting=name)
