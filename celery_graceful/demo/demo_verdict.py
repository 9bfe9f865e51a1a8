"""The verdict: what the run reported and left behind, against what a plain loop found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from celery_graceful.demo.work import Done, Expected
from celery_graceful.text.counting import counted
from celery_graceful.text.terminal import prose_width, wrapped

SCHEMA = 1

#: A SIGKILL may repeat what ran during this many checkpoint intervals.
INTERVALS = 1.5
#: A pause between two files counts as so many seconds at most: for the rest of it the process was
#: not let run, and could not save either.
STANDSTILL = 0.1
_EPILOGUE = """
What you have seen: one Celery task went over all these files under one task id. The first worker
was asked to stop, as in every deploy: the task finished its present file, saved its cursor and its
sums, and continued on the next worker; nothing was lost and nothing was done twice. The second
worker was killed without a warning: when its lease had expired (3 s here, 30 s by default), the
third resumed the run from the last saved checkpoint. A kill loses nothing and may repeat what ran
since then, {intervals} checkpoint intervals of 1 s at most; the sums agree all the same, because
they are saved together with the cursor.

The task itself is a few lines: celery_graceful/demo/app.py

Read on: README.md, then docs/tutorial.md; docs/ also has the guarantees and their limits.
"""


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
    #: How many items ran in the last checkpoint intervals before the SIGKILL.
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
    entries: Sequence[Done],
    at: Moments,
    checkpoint_interval: float,
) -> Verdict:
    """Compare the run with the plain loop.

    Args:
        expected: what the plain loop found.
        reported: the task's result.
        entries: the notes of the workers.
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


def _failures(verdict: Verdict, names: set[str], entries: Sequence[Done]) -> list[str]:
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
            f" {verdict.may_repeat} of the last {INTERVALS} checkpoint intervals"
        )
    if verdict.executions < 3:
        workers = counted(verdict.executions, "worker")
        found.append(f"the run had {workers}, not 3: it was not interrupted twice")
    return found


def _lately(entries: Sequence[Done], moment: float, seconds: float) -> int:
    """How many entries are in the ``seconds`` before ``moment``."""
    found = 0
    for at in sorted((entry.at for entry in entries), reverse=True):
        seconds -= min(moment - at, STANDSTILL)
        if seconds < 0:
            break
        found, moment = found + 1, at
    return found


def _repeated(entries: Sequence[Done]) -> int:
    return sum(times - 1 for times in Counter(entry.name for entry in entries).values())


def _resumed(entries: Sequence[Done], moment: float) -> float | None:
    """Seconds from ``moment`` to the first item of a process that had none before it."""
    earlier = {entry.pid for entry in entries if entry.at <= moment}
    later = [entry.at for entry in entries if entry.at > moment and entry.pid not in earlier]
    return _rounded(min(later) - moment) if later else None


def _rounded(seconds: float) -> float:
    return round(seconds, 2)


# -- for people ------------------------------------------------------------------------------


def text_of(verdict: Verdict) -> str:
    """The verdict as lines for a terminal."""
    seconds = verdict.seconds
    lines = [
        "",
        _row("", "the run", "a plain loop"),
        *(
            _row(name, _short(verdict.reported.get(name)), _short(verdict.expected[name]))
            for name in verdict.expected
        ),
        "",
        f"  items lost                      {verdict.lost}",
        f"  items repeated after SIGTERM    {verdict.repeated_after_sigterm}",
        f"  items repeated after SIGKILL    {verdict.repeated_after_sigkill}"
        f"  (up to {verdict.may_repeat} allowed)",
        f"  SIGTERM to exit                 {_time(seconds.sigterm_to_exit)}",
        f"  SIGTERM to first resumed item   {_time(seconds.sigterm_to_first_item)}",
        f"  SIGKILL to first resumed item   {_time(seconds.sigkill_to_first_item)}",
        f"  all in all                      {_time(seconds.total)}",
        "",
    ]
    if verdict.passed:
        lines.append("PASSED: stopped once, killed once, and the result is that of a plain loop.")
        for paragraph in _EPILOGUE.format(intervals=INTERVALS).split("\n\n"):
            lines += ["", *wrapped(" ".join(paragraph.split()), prose_width())]
    else:
        lines.append("FAILED:")
        lines += [f"  - {failure}" for failure in verdict.failures]
        lines.append("Run it again with --keep to look at the workers' logs.")
    return "\n".join(lines).rstrip("\n")


def _row(name: str, left: object, right: object) -> str:
    return f"  {name:<10}{left!s:>22}{right!s:>22}".rstrip()


def _short(value: object) -> str:
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return text if len(text) <= 20 else f"{text[:16]}…"


def _time(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.2f} s"
