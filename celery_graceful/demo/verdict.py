"""The verdict: what the run reported and left behind, against what a plain loop found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from celery_graceful.demo.ledger import Entry
from celery_graceful.demo.survey import Expected
from celery_graceful.text.counting import counted

SCHEMA = 1

#: A SIGKILL may repeat what ran during this many flush intervals.
INTERVALS = 1.5
#: A pause between two files counts as so many seconds at most: for the rest of it the process was
#: not let run, and could not save either.
STANDSTILL = 0.1


@dataclass(frozen=True, slots=True)
class Moments:
    """When what happened, in monotonic seconds."""

    began: float
    terminated: float
    exited: float
    killed: float
    ended: float


@dataclass(frozen=True, slots=True)
class Seconds:
    """What the interruptions cost; ``None`` when it never came."""

    sigterm_to_exit: float
    sigterm_to_first_item: float | None
    sigkill_to_first_item: float | None
    total: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome; it passed when there are no ``failures``."""

    expected: dict[str, Any]
    reported: dict[str, Any]
    lost: int
    repeated_after_sigterm: int
    repeated_after_sigkill: int
    #: How many items ran in the last flush intervals before the SIGKILL.
    may_repeat: int
    executions: int
    seconds: Seconds
    failures: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether the run kept its promises."""
        return not self.failures

    def as_data(self) -> dict[str, Any]:
        """The verdict as JSON's types."""
        return {"schema": SCHEMA, "passed": self.passed, **asdict(self)}


def judge(
    expected: Expected,
    reported: dict[str, Any],
    entries: Sequence[Entry],
    at: Moments,
    checkpoint_interval: float,
) -> Verdict:
    """Compare the run with the plain loop.

    Args:
        expected: what the plain loop found.
        reported: the task's result.
        entries: the ledger.
        at: when the workers were interrupted.
        checkpoint_interval: seconds between two checkpoints.
    """
    before = [entry for entry in entries if entry.at <= at.killed]
    verdict = Verdict(
        expected=expected.sums,
        reported=reported,
        lost=len(set(expected.names) - {entry.name for entry in entries}),
        repeated_after_sigterm=_repeated(before),
        repeated_after_sigkill=_repeated(entries) - _repeated(before),
        may_repeat=_lately(before, at.killed, INTERVALS * checkpoint_interval),
        executions=len({entry.pid for entry in entries}),
        seconds=Seconds(
            sigterm_to_exit=_rounded(at.exited - at.terminated),
            sigterm_to_first_item=_resumed(entries, at.terminated),
            sigkill_to_first_item=_resumed(entries, at.killed),
            total=_rounded(at.ended - at.began),
        ),
    )
    verdict.failures.extend(_failures(verdict, {*expected.names}, entries))
    return verdict


def _failures(verdict: Verdict, names: set[str], entries: Sequence[Entry]) -> list[str]:
    found = [
        f"{name}: the run reported {verdict.reported.get(name)}, a plain loop finds {value}"
        for name, value in verdict.expected.items()
        if verdict.reported.get(name) != value
    ]
    if verdict.lost:
        found.append(f"{counted(verdict.lost, 'item')} lost")
    if strange := {entry.name for entry in entries} - names:
        items = counted(len(strange), "item")
        found.append(f"{items} that the plain loop does not know, such as {min(strange)}")
    if verdict.repeated_after_sigterm:
        items = counted(verdict.repeated_after_sigterm, "item")
        found.append(f"{items} repeated after a graceful stop")
    if verdict.repeated_after_sigkill > verdict.may_repeat:
        items = counted(verdict.repeated_after_sigkill, "item")
        found.append(
            f"{items} repeated after the SIGKILL, more than the"
            f" {verdict.may_repeat} of the last {INTERVALS} flush intervals"
        )
    if verdict.executions < 3:
        workers = counted(verdict.executions, "worker")
        found.append(f"the run had {workers}, not 3: it was not interrupted twice")
    return found


def _lately(entries: Sequence[Entry], moment: float, seconds: float) -> int:
    """How many entries are in the ``seconds`` before ``moment``."""
    found = 0
    for at in sorted((entry.at for entry in entries), reverse=True):
        seconds -= min(moment - at, STANDSTILL)
        if seconds < 0:
            break
        found, moment = found + 1, at
    return found


def _repeated(entries: Sequence[Entry]) -> int:
    return sum(times - 1 for times in Counter(entry.name for entry in entries).values())


def _resumed(entries: Sequence[Entry], moment: float) -> float | None:
    """Seconds from ``moment`` to the first item of a process that had none before it."""
    earlier = {entry.pid for entry in entries if entry.at <= moment}
    later = [entry.at for entry in entries if entry.at > moment and entry.pid not in earlier]
    return _rounded(min(later) - moment) if later else None


def _rounded(seconds: float) -> float:
    return round(seconds, 2)
