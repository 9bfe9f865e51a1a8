"""One worker, and what follows for its stop: which signal it gets, and how long it has."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from celery_graceful.doctor.checks.check import Check, Facts, Problem, Problems
from celery_graceful.doctor.facts import (
    NOWHERE,
    AppFacts,
    Deployed,
    Given,
    Kind,
    Manager,
    TaskFacts,
    finite,
    read_duration,
)
from celery_graceful.doctor.finding import Severity
from celery_graceful.grace.deadlines import LEAST, MOST, PART
from celery_graceful.grace.surroundings import VARIABLE

#: Seconds that an idle prefork worker takes to stop.
IDLE_STOP = 3.0
#: Seconds added to what is needed; and what is proposed instead of a default.
_RESERVE, _CHOSEN = 5.0, 60.0
QUIT = "SIGQUIT"
#: tini, and programs that take the same option.
_TINI = ("tini", "tini-static", "docker-init", "catatonit")
#: Managers that give the worker its grace period, or whose workers know it.
_TELLING = (Manager.SYSTEMD, Manager.PROCFILE, Manager.THIS, Manager.PROCESS, Manager.RUNNING)
_ON = ("true", "yes", "on", "1")


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker within all facts."""

    worker: Deployed
    facts: Facts

    @property
    def app(self) -> AppFacts:
        """The worker's app."""
        return self.facts.app

    def tasks(self, *kinds: Kind) -> list[TaskFacts]:
        """The tasks of these kinds that the worker gets, by the queues it consumes."""
        consumes, default = self.worker.command.may_consume, self.app.consumed_by_default
        return [t for t in self.app.of_kind(*kinds) if not t.queue or consumes(t.queue, default)]

    # Which signal it gets, and what the signal does.

    @property
    def pool(self) -> str:
        """The name of its pool."""
        return self.worker.command.options.get("pool") or self.app.pool

    @property
    def is_prefork(self) -> bool:
        """Whether tasks run in child processes."""
        return self.pool in ("prefork", "processes")

    @property
    def stop_signal(self) -> str:
        """The signal that its manager stops it with."""
        return self.worker.stop_signal.value if self.worker.stop_signal else "SIGTERM"

    @property
    def remap(self) -> Given[str] | None:
        """``REMAP_SIGTERM`` of the worker."""
        found = self.worker.variable("REMAP_SIGTERM")
        if found is None and self.worker.manager is Manager.THIS and self.app.remap_sigterm:
            return Given(self.app.remap_sigterm, NOWHERE)
        return found if found is not None and found.value else None

    @property
    def _is_remapped(self) -> bool:
        return self.remap is not None and self.remap.value == QUIT

    @property
    def is_cold(self) -> bool:
        """Whether tasks are cut off after the soft shutdown: only on prefork, others end warm."""
        quits = self.stop_signal == QUIT or (self.stop_signal == "SIGTERM" and self._is_remapped)
        return quits and self.is_prefork

    @property
    def group_cause(self) -> str | None:
        """Why the signal reaches the pool's children as well; ``None`` when it does not."""
        worker = self.worker
        if worker.manager is Manager.SYSTEMD:
            mode, hook = worker.option("KillMode", "control-group"), worker.pre_stop
            stopped_before = hook is not None and "stopwait" in hook.text
            return f"KillMode={mode}" if mode == "control-group" and not stopped_before else None
        if worker.manager is Manager.SUPERVISORD and worker.option("stopasgroup").lower() in _ON:
            return "stopasgroup=true"
        dumb = worker.command.wrapper("dumb-init")
        if dumb is not None and not dumb.has("-c", "--single-child"):
            setsid = worker.variable("DUMB_INIT_SETSID")
            if setsid is None or setsid.value != "0":
                return "dumb-init without --single-child"
        tini = next((w for w in worker.command.wrappers if w.program in _TINI), None)
        if tini is not None and tini.has("-g"):
            return "tini -g"
        by_variable = worker.variable("TINI_KILL_PROCESS_GROUP")
        if by_variable is not None and (tini is not None or worker.option("init") == "true"):
            return "TINI_KILL_PROCESS_GROUP"
        return "the Procfile's manager" if worker.manager is Manager.PROCFILE else None

    @property
    def loses_children(self) -> bool:
        """Whether children die of a signal to the group: with REMAP_SIGTERM they ignore SIGTERM."""
        return (
            self.is_prefork
            and self.group_cause is not None
            # A wrong signal counts as well: once corrected, it is SIGTERM.
            and self.stop_signal not in (QUIT, "SIGINT")
            and not self._is_remapped
        )

    # What it knows of its grace period.

    @property
    def given_period(self) -> Given[float] | None:
        """The grace period that a setting or a variable gives, in seconds; ``None``: neither."""
        if self.app.grace_period is not None:
            return Given(self.app.grace_period, NOWHERE)
        given = self.worker.variable(VARIABLE)
        seconds = None if given is None else read_duration(given.value)  # None: a secret, or off
        return Given(seconds, given.place) if given is not None and seconds else None

    @property
    def knows_period(self) -> bool:
        """Whether it knows when it is killed, and hands over before that."""
        if self.given_period is not None:
            return True
        given = self.worker.variable(VARIABLE)
        if given is not None and _is_off(given.value):
            return False  # it does not ask its manager then
        return self.worker.manager in _TELLING and self.worker.grace is not None

    @property
    def cuts_plain_tasks(self) -> bool:
        """Whether it cuts plain tasks off, too: not for a period that it asked its manager for.

        A running worker does not say here whether it did.
        """
        if self.worker.manager in (Manager.THIS, Manager.RUNNING):
            return self.knows_period
        return self.given_period is not None

    # How long it has, and how long it needs.

    def has_less_than(self, seconds: float) -> bool:
        """Whether SIGKILL comes sooner than so many seconds after the stop signal."""
        left = self.worker.seconds_to_stop
        return left is not None and left < seconds

    def has_time_for(self, seconds: float) -> bool:
        """Whether work of so many seconds ends before it is cut off, or killed."""
        return not self.has_less_than(self._needed_for(seconds, self.knows_period))

    def _needed_for(self, seconds: float, knows: bool) -> float:
        """The time until SIGKILL in which work of so many seconds can end by itself."""
        if not knows:
            return seconds + IDLE_STOP
        margin = self.app.kill_margin
        if margin is None:
            margin = max(LEAST, min(MOST, seconds * PART / (1 - PART)))
        return seconds + margin

    @property
    def period_text(self) -> str:
        """The grace period for people, the hook's time apart."""
        grace, hook = self.worker.grace, self._hook
        assert grace is not None
        text = f"{self.worker.grace_setting} is {grace.value:g} s"
        if not grace.written and self.worker.manager is not Manager.THIS:
            text += " (the default)"
        return f"{text}, of which the hook takes {hook:g} s" if hook else text

    @property
    def waited_for(self) -> list[TaskFacts]:
        """Tasks that a warm stop waits for; ``base=GracefulTask`` alone makes none leave early."""
        if self.worker.grace is None or self.is_cold:
            return []
        return self.tasks(Kind.PLAIN, Kind.GRACEFUL)

    def limit_of(self, task: TaskFacts) -> float | None:
        """How long a task may take by its time limits, or by those of the worker."""
        return task.longest or finite(self.worker.command.options.get("time_limit", ""))

    # The one grace period that is proposed for it, whichever check proposes it.

    @property
    def has_default_period(self) -> bool:
        """Whether it has the ten seconds of Docker or supervisord, which are a default."""
        short = self.worker.manager in (Manager.COMPOSE, Manager.SUPERVISORD)
        return short and self.worker.grace is not None and not self.worker.grace.written

    @property
    def proposed_period(self) -> float:
        """Seconds from the stop to SIGKILL, hooks included: the present ones if they suffice."""
        assert self.worker.grace is not None
        needed = max(self._needed())
        if not self.has_less_than(needed) and not self.has_default_period:
            return self.worker.grace.value
        whole = float(math.ceil((needed + self._hook + _RESERVE) / 5) * 5)
        return max(whole, _CHOSEN) if self.has_default_period else whole

    @property
    def proposed_left(self) -> float:
        """What the proposed period leaves after the hook."""
        return self.proposed_period - self._hook

    @property
    def _hook(self) -> float:
        return self.worker.pre_stop.seconds if self.worker.pre_stop else 0.0

    def _needed(self) -> Iterator[float]:
        """What each of the checks of the period asks for."""
        seen = self.facts.seen
        yield IDLE_STOP
        if self.is_cold:
            yield self.app.soft_shutdown_timeout + IDLE_STOP
        taken = [
            seconds
            for task in self.waited_for
            for seconds in (seen.longest.get(task.name), self.limit_of(task))
        ]
        taken += [seen.items.get(task.name) for task in self.tasks(Kind.ITERABLE)]
        for seconds in filter(None, taken):
            # Enough for a worker that knows its period, and for one that does not.
            yield from (self._needed_for(seconds, knows) for knows in (True, False))


def worker_check(
    id: str, severity: Severity, about: str, *, why: str, fix: str
) -> Callable[[Callable[[WorkerView], Problems]], Check]:
    """Makes a check of a function over one worker; its problems get the worker's name and place."""

    def check_of(find: Callable[[WorkerView], Problems]) -> Check:
        def find_all(facts: Facts) -> Iterator[Problem]:
            for worker in facts.workers:
                for problem in find(WorkerView(worker, facts)):
                    place = problem.place or (None if problem.setting else worker.started_at)
                    yield replace(problem, what=f"{worker.name}: {problem.what}", place=place)

        return Check(id, severity, about, why, fix, find_all)

    return check_of


def _is_off(value: str) -> bool:
    return value.strip().lower() == "off" or read_duration(value) == 0.0
