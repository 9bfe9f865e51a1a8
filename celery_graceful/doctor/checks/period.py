"""What a worker knows of its grace period, and when it cuts its tasks off."""

from __future__ import annotations

from celery_graceful.doctor.facts import AppFacts, Deployed, Given, Manager, Place
from celery_graceful.doctor.readers.texts import read_duration
from celery_graceful.grace.deadlines import LEAST, MOST, PART
from celery_graceful.grace.surroundings import VARIABLE

#: What a prefork worker that has nothing to do takes to stop, in seconds.
IDLE_STOP = 3.0
#: Those that tell it to the worker, or that the worker knows.
_TELLING = (
    Manager.SYSTEMD,
    Manager.PROCFILE,
    Manager.THIS,
    Manager.PROCESS,
    Manager.RUNNING,
)


def believed(worker: Deployed, app: AppFacts) -> Given[float] | None:
    """What a setting or a variable tells the worker, in seconds; ``None``: neither does."""
    if app.grace_period is not None:
        return Given(app.grace_period, Place(""))
    given = worker.variable(VARIABLE)
    seconds = None if given is None else read_duration(given.value)  # None: a secret, or off
    return Given(seconds, given.place) if given is not None and seconds else None


def knows(worker: Deployed, app: AppFacts) -> bool:
    """Whether the worker knows when it is killed, and hands over before that."""
    if believed(worker, app) is not None:
        return True
    given = worker.variable(VARIABLE)
    if given is not None and _is_off(given.value):
        return False  # it asks nobody then
    return worker.manager in _TELLING and worker.grace is not None


def cuts_plain(worker: Deployed, app: AppFacts) -> bool:
    """Whether the worker cuts plain tasks off, too: not by a period that it asked its manager for.

    A running one does not say here whether it did.
    """
    if worker.manager in (Manager.THIS, Manager.RUNNING):
        return knows(worker, app)
    return believed(worker, app) is not None


def _is_off(value: str) -> bool:
    return value.strip().lower() == "off" or read_duration(value) == 0.0


def needed_for(seconds: float, worker: Deployed, app: AppFacts, *, knowing: bool = False) -> float:
    """The time until SIGKILL in which a task of so many seconds can end by itself.

    Args:
        seconds: what the task takes.
        worker: the worker.
        app: its app.
        knowing: as if the worker knew its grace period.
    """
    if not knowing and not knows(worker, app):
        return seconds + IDLE_STOP
    margin = app.kill_margin
    if margin is None:
        margin = max(LEAST, min(MOST, seconds * PART / (1 - PART)))
    return seconds + margin


def time_to_end(what: float, worker: Deployed, app: AppFacts) -> bool:
    """Whether something that takes so many seconds ends before it is cut off, or killed."""
    left = worker.seconds_to_stop
    return left is None or left >= needed_for(what, worker, app)


def period_text(worker: Deployed) -> str:
    """The grace period for people, the hook's time told apart."""
    assert worker.grace is not None
    text = f"{worker.grace_setting} is {worker.grace.value:g} s"
    if not worker.grace.written and worker.manager is not Manager.THIS:
        text += " (the default)"
    if worker.pre_stop and worker.pre_stop.seconds:
        text += f", of which the hook takes {worker.pre_stop.seconds:g} s"
    return text
