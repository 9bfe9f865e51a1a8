"""What a check is: an id, a severity, texts, and a pure function over facts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from celery_graceful.doctor.facts import NOWHERE, AppFacts, Deployed, Given, Kind, Manager, Place
from celery_graceful.doctor.facts.running_workers import Seen
from celery_graceful.doctor.finding import Finding, Severity

_SETTING = re.compile(r"\bapp\.conf\.(\w+)")
_NAME = re.compile(r"(?:broker|graceful|result|task|worker)_[a-z_]+")


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known: the app, the workers that files deploy, and what was seen running."""

    app: AppFacts
    workers: tuple[Deployed, ...] = ()
    #: Containers that run supervisord.
    supervisors: tuple[Deployed, ...] = ()
    seen: Seen = field(default_factory=Seen)

    @property
    def has_files(self) -> bool:
        """Whether the workers are those of files."""
        live = (Manager.THIS, Manager.RUNNING, Manager.PROCESS)
        return any(worker.manager not in live for worker in self.workers)

    @property
    def has_runs(self) -> bool:
        """Whether the app has iterable tasks."""
        return bool(self.app.of_kind(Kind.ITERABLE))

    def within(self, grace: float | None) -> Facts:
        """The same, with a grace period for workers whose files do not say it."""
        if grace is None:
            return self
        silent = (Manager.PROCFILE, Manager.DOCKER, Manager.SCRIPT, Manager.THIS)
        workers = tuple(
            replace(each, grace=Given(grace, each.place, written=False))
            if each.manager in silent and each.grace is None
            else each
            for each in self.workers
        )
        return replace(self, workers=workers)

    def consumes(self, queue: str) -> bool:
        """Whether one of the workers may consume a queue."""
        default = self.app.consumed_by_default
        return any(worker.command.may_consume(queue, default) for worker in self.workers)


@dataclass(frozen=True, slots=True)
class Problem:
    """One place where a check found something."""

    what: str
    #: The change, as it would be written.
    fix: str
    place: Place | None = None
    #: The setting of the app, when the problem is in no file.
    setting: str = ""
    #: ``None``: as severe as the check says.
    severity: Severity | None = None


Problems = Iterable[Problem]


@dataclass(frozen=True, slots=True)
class Check:
    """One check."""

    #: Never used for anything else.
    id: str
    severity: Severity
    #: What it finds, for the reference.
    about: str
    #: Why it hurts.
    why: str
    #: The fix in general, for the reference.
    fix: str
    #: ``None``: the doctor finds it while it reads files or asks workers.
    find: Callable[[Facts], Problems] | None = None

    def findings(self, facts: Facts) -> Iterator[Finding]:
        """What it finds, with settings named as the project names them."""
        for problem in self.find(facts) if self.find is not None else ():
            fix = spelled(problem.fix, facts.app)
            setting = _spelled_name(problem.setting, facts.app)
            yield self.finding(replace(problem, fix=fix, setting=setting))

    def finding(self, problem: Problem) -> Finding:
        """The finding for one problem."""
        place = problem.place or NOWHERE
        return Finding(
            id=self.id,
            severity=self.severity if problem.severity is None else problem.severity,
            what=problem.what,
            why=self.why,
            fix=problem.fix,
            file=place.file,
            line=place.line,
            subject=problem.setting,
        )


def app_check(
    id: str, severity: Severity, about: str, *, why: str, fix: str
) -> Callable[[Callable[[Facts], Problems]], Check]:
    """Makes a check of a function over all facts."""
    return lambda find: Check(id, severity, about, why, fix, find)


def spelled(text: str, app: AppFacts) -> str:
    """Settings as this project writes them: ``CELERY_…`` where Django's settings hold them."""
    if not app.settings_prefix:
        return text
    return _SETTING.sub(lambda match: f"{app.settings_prefix}{match[1].upper()}", text)


def _spelled_name(name: str, app: AppFacts) -> str:
    """The same for the name of a setting; tasks and environment variables keep theirs."""
    is_setting = app.settings_prefix and _NAME.fullmatch(name)
    return f"{app.settings_prefix}{name.upper()}" if is_setting else name
