"""What the doctor says: findings, each with a stable id, a place, a reason and a cure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from celery_graceful.text.masking import mask_text

#: How many names a finding lists.
_NAMES = 3
#: What ``graceful doctor`` ends with.
CLEAN, WARNINGS, ERRORS = 0, 10, 20


class Severity(IntEnum):
    """How bad it is; the greater, the worse."""

    #: Worth knowing; it depends on what the doctor cannot see.
    NOTE = 1
    #: Work is lost, repeated or held up in some circumstances.
    WARNING = 2
    #: It goes wrong at the next stop, or has gone wrong already.
    ERROR = 3

    @property
    def word(self) -> str:
        """As people and programs read it: ``error``, ``warning``, ``note``."""
        return self.name.lower()


ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    #: Stable, such as ``GD101``.
    id: str
    severity: Severity
    #: What was seen.
    what: str
    #: Why it hurts.
    why: str
    #: The change that fixes it, as one would write it.
    fix: str
    #: The file, or empty when a setting of the app is meant.
    file: str = ""
    #: The line in the file, from 1 on; 0: the file as a whole.
    line: int = 0
    #: The setting of the app, or the worker in the file.
    subject: str = ""

    def __post_init__(self) -> None:
        # It may quote a command line or a variable of a deployment file.
        object.__setattr__(self, "what", mask_text(self.what))

    @property
    def where(self) -> str:
        """``deploy/worker.yaml:12``, or the name of a setting."""
        if not self.file:
            return self.subject
        return f"{self.file}:{self.line}" if self.line else self.file

    def __str__(self) -> str:
        at = f"{self.id} {self.where}".rstrip()
        return f"{at}: {self.what}. {self.why} Fix: {self.fix}"


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """The findings without repetitions: the app's first, then file by file, the worst first."""
    unique = list(dict.fromkeys(findings))
    worst: dict[str, int] = {}
    for each in unique:
        worst[each.file] = max(worst.get(each.file, 0), each.severity)
    return sorted(
        unique,
        key=lambda f: (bool(f.file), -worst[f.file], f.file, -f.severity, f.line, f.id),
    )


def exit_code(findings: Iterable[Finding]) -> int:
    """0 for none but notes, 10 with warnings, 20 with errors."""
    worst = max((finding.severity for finding in findings), default=Severity.NOTE)
    return {Severity.ERROR: ERRORS, Severity.WARNING: WARNINGS}.get(worst, CLEAN)


def named(names: Sequence[str]) -> str:
    """Some names for a sentence: ``a, b, c and 4 more``."""
    shown = ", ".join(names[:_NAMES])
    return f"{shown} and {len(names) - _NAMES} more" if len(names) > _NAMES else shown
