"""The examination: facts are gathered, and every check is applied to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from celery_graceful.doctor.checks import OF_FACTS, OF_PROCESSES, inputs
from celery_graceful.doctor.checks.check import Facts, Problem
from celery_graceful.doctor.commands.worker_command import same_app
from celery_graceful.doctor.facts import AppFacts, Deployed, Manager
from celery_graceful.doctor.facts.running_workers import Seen, as_deployed
from celery_graceful.doctor.finding import Finding, Severity, in_order
from celery_graceful.doctor.readers.entry import MissingPackage, NoWorker, Outcome, Trouble

_CHECK_OF = {MissingPackage: inputs.MISSING, NoWorker: inputs.NO_WORKER}


@dataclass(frozen=True, slots=True)
class Examination:
    """What was examined, and what was found."""

    workers: tuple[Deployed, ...]
    findings: tuple[Finding, ...]


def findings_of(facts: Facts, *, grace: float | None = None) -> Iterator[Finding]:
    """What all checks find.

    Args:
        facts: what is known.
        grace: seconds until SIGKILL, for workers whose files do not say it.
    """
    facts = facts.within(grace)
    for check in OF_FACTS:
        yield from check.findings(facts)


def findings_of_processes(app: AppFacts, workers: Iterable[Deployed]) -> Iterator[Finding]:
    """What is wrong between running workers and their managers.

    Args:
        app: their app.
        workers: by :func:`~celery_graceful.doctor.facts.processes.workers_in`.
    """
    facts = Facts(app, tuple(workers))
    for check in OF_PROCESSES:
        yield from check.findings(facts)


def examine(
    app: AppFacts,
    outcomes: Iterable[Outcome] = (),
    seen: Seen | None = None,
    *,
    asked_for: str | None = None,
    grace: float | None = None,
    processes: Iterable[Deployed] = (),
) -> Examination:
    """Examine an app and the files that deploy its workers.

    Args:
        app: what its configuration says.
        outcomes: what reading the files gave.
        seen: what running workers have seen, if they were asked.
        asked_for: the app as in ``celery -A``; workers of others are left out.
        grace: seconds until SIGKILL, for workers whose files do not say it.
        processes: workers among the processes of this host.
    """
    outcomes = list(outcomes)
    deployed = _each_once(worker for outcome in outcomes for worker in outcome.workers)
    ours = [w for w in deployed if same_app(asked_for, w.command.options.get("app"))]
    supervisors = tuple(each for outcome in outcomes for each in outcome.supervisors)
    seen = seen or Seen()
    # Files say more of a worker than it knows itself.
    workers = ours or as_deployed(seen.running)
    facts = Facts(app, tuple(workers), supervisors, seen)
    found = [
        *(_of_trouble(trouble) for outcome in outcomes for trouble in outcome.troubles),
        *(_of_stranger(w, asked_for, bool(ours)) for w in deployed if w not in ours),
        *findings_of(facts, grace=grace),
        *findings_of_processes(
            app, (w for w in processes if same_app(asked_for, w.command.options.get("app")))
        ),
    ]
    return Examination(tuple(ours), tuple(in_order(found)))


def _each_once(workers: Iterable[Deployed]) -> list[Deployed]:
    """Without those of a script that a manager starts: its entry says more of the same workers."""
    found = list(workers)
    started = {_script_line(each) for each in found if each.manager is not Manager.SCRIPT}
    return [w for w in found if w.manager is not Manager.SCRIPT or _script_line(w) not in started]


def _script_line(worker: Deployed) -> tuple[str, int]:
    return worker.command.file, worker.command.line


def not_asked(why: str) -> Finding:
    """The finding that the store could not be read."""
    problem = Problem(f"the store was not read: {why}", "--no-workers", setting="graceful_store")
    return inputs.NOT_ASKED.finding(problem)


def _of_trouble(trouble: Trouble) -> Finding:
    check = _CHECK_OF.get(type(trouble), inputs.UNREADABLE)
    return check.finding(Problem(trouble.what, trouble.fix, trouble.place))


def _of_stranger(worker: Deployed, asked_for: str | None, beside_ours: bool) -> Finding:
    app = worker.command.options.get("app", "")
    what = f"{worker.name}: it is a worker of the app {app}, not of {asked_for}"
    severity = None if beside_ours else Severity.WARNING
    fix = f"celery -A {app} graceful doctor"
    return inputs.OTHER_APP.finding(Problem(what, fix, worker.place, severity=severity))
