"""What a check is, and what it looks at."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from celery_graceful.doctor.facts import (
    AppFacts,
    Deployed,
    Given,
    Kind,
    Manager,
    Place,
    Seen,
    TaskFacts,
)
from celery_graceful.doctor.finding import Finding, Severity

#: How many names a finding lists.
_NAMES = 3
_SETTING = re.compile(r"\bapp\.conf\.(\w+)")
_NAME = re.compile(r"(?:broker|graceful|result|task|worker)_[a-z_]+")


@dataclass(frozen=True, slots=True)
class Scene:
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

    def within(self, grace: float | None) -> Scene:
        """The same, with a grace period for workers whose files do not tell it."""
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


@dataclass(frozen=True, slots=True)
class Sight:
    """One place where a check found something."""

    what: str
    #: The change, as one would write it.
    fix: str
    place: Place | None = None
    #: The setting of the app, when no file is meant.
    setting: str = ""
    #: ``None``: as bad as the check says.
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One check."""

    #: Never used for anything else.
    id: str
    severity: Severity
    #: What it looks for, in a few words, for the reference.
    about: str
    #: Why it hurts.
    why: str
    #: How it is fixed in general, for the reference.
    fix: str
    look: Callable[[Scene], Iterable[Sight]]

    def findings(self, scene: Scene) -> Iterator[Finding]:
        """What it finds."""
        for sight in self.look(scene):
            yield self.finding(
                replace(
                    sight,
                    fix=spelled(sight.fix, scene.app),
                    setting=_setting(sight.setting, scene.app),
                )
            )

    def finding(self, sight: Sight) -> Finding:
        """What is said of one place."""
        place = sight.place or Place("")
        return Finding(
            id=self.id,
            severity=self.severity if sight.severity is None else sight.severity,
            what=sight.what,
            why=self.why,
            fix=sight.fix,
            file=place.file,
            line=place.line,
            subject=sight.setting,
        )


def spelled(text: str, app: AppFacts) -> str:
    """Settings as this project writes them: ``CELERY_…`` where Django's settings hold them."""
    if not app.settings_prefix:
        return text
    return _SETTING.sub(lambda match: f"{app.settings_prefix}{match[1].upper()}", text)


def _setting(name: str, app: AppFacts) -> str:
    """The same for the name of a setting; tasks and variables of the environment keep theirs."""
    is_setting = app.settings_prefix and _NAME.fullmatch(name)
    return f"{app.settings_prefix}{name.upper()}" if is_setting else name


def per_worker(
    look: Callable[[Deployed, Scene], Iterable[Sight]],
) -> Callable[[Scene], Iterator[Sight]]:
    """A check of one worker as a check of all."""

    def look_at_all(scene: Scene) -> Iterator[Sight]:
        for worker in scene.workers:
            yield from look(worker, scene)

    return look_at_all


def tasks_of(worker: Deployed, app: AppFacts, *kinds: Kind) -> list[TaskFacts]:
    """The tasks of these kinds that a worker gets, by the queues it consumes."""
    consumes = worker.command.may_consume
    default = app.consumed_by_default
    return [t for t in app.of_kind(*kinds) if not t.queue or consumes(t.queue, default)]


def named(names: Sequence[str]) -> str:
    """Some names for a sentence: ``a, b, c and 4 more``."""
    shown = ", ".join(names[:_NAMES])
    return f"{shown} and {len(names) - _NAMES} more" if len(names) > _NAMES else shown
