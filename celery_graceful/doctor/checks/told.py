"""GD11x: whether the worker is told its grace period, and the right one."""

from __future__ import annotations

from collections.abc import Iterator

from celery_graceful.doctor.checks.base import Check, Scene, Sight, per_worker
from celery_graceful.doctor.checks.period import believed, period_text
from celery_graceful.doctor.checks.proposal import proposed_left
from celery_graceful.doctor.facts import Deployed, Manager
from celery_graceful.doctor.finding import Severity
from celery_graceful.grace.surroundings import VARIABLE


def overrated(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """The worker counts on more time than it has."""
    told, left = believed(worker, scene.app), worker.seconds_to_stop
    if told is None or left is None or worker.manager in (Manager.THIS, Manager.RUNNING):
        return
    if told.value > left:
        by_variable = bool(told.place.file)
        period = worker.grace.place if worker.grace else worker.place
        setting = VARIABLE if by_variable else "graceful_grace_period"
        fit = proposed_left(worker, scene)
        yield Sight(
            f"{worker.name}: {period_text(worker)}, and {setting} tells the worker"
            f" {told.value:g} s",
            f"{VARIABLE}={fit:g}s" if by_variable else f'app.conf.{setting} = "{fit:g}s"',
            told.place if by_variable else period,
        )


def untold(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """Nobody tells the worker its grace period."""
    silent = worker.manager in (Manager.COMPOSE, Manager.KUBERNETES)
    left = worker.seconds_to_stop
    if silent and left and worker.variable(VARIABLE) is None and scene.app.grace_period is None:
        # The API of Kubernetes may tell, if the service account is allowed to ask.
        pods = worker.manager is Manager.KUBERNETES
        yield Sight(
            f"{worker.name}: {period_text(worker)}, and the worker does not know it",
            f"{VARIABLE}={proposed_left(worker, scene):g}s in its environment",
            worker.place,
            severity=Severity.NOTE if pods else None,
        )


CHECKS = (
    Check(
        "GD110",
        Severity.ERROR,
        "`GRACEFUL_GRACE_PERIOD` or `graceful_grace_period` that is longer than the grace period,"
        " less its hook",
        "The worker means to hand over shortly before SIGKILL, and SIGKILL comes before that:"
        " nothing is given back, and early-acked tasks are gone without a line in the log.",
        "the same time in both places; with a `preStop`, what it leaves",
        per_worker(overrated),
    ),
    Check(
        "GD111",
        Severity.WARNING,
        "A worker in docker-compose that is not told its grace period (a note in Kubernetes, where"
        " it may be allowed to ask)",
        "From inside of a container the worker cannot see when it is killed. It waits for its tasks"
        " until SIGKILL, instead of handing over before.",
        "`GRACEFUL_GRACE_PERIOD` in its environment, beside `stop_grace_period` or"
        " `terminationGracePeriodSeconds`",
        per_worker(untold),
    ),
)
