"""Which tests differ between two sessions, and whether that is the plugin or chance. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb

#: Chance gives as clear a difference to one flaky test in so many.
CHANCE = 0.05
#: The outcome of a test that the other session ran.
MISSING = "not run"


def differing(without: Mapping[str, str], graceful: Mapping[str, str]) -> list[str]:
    """The tests whose outcome is not the same, or that only one session ran."""
    tests = dict.fromkeys((*without, *graceful))
    return [test for test in tests if without.get(test, MISSING) != graceful.get(test, MISSING)]


@dataclass(frozen=True)
class Trial:
    """A test that differed, and its outcomes when both sides ran it again, alone."""

    test: str
    without: Sequence[str]
    graceful: Sequence[str]

    @property
    def is_real(self) -> bool:
        """Whether the plugin changes the outcome: one-sided exact test of Fisher."""
        if not self.without or not self.graceful:
            return True
        usual = Counter(self.without).most_common(1)[0][0]
        other_without = sum(outcome != usual for outcome in self.without)
        other_graceful = sum(outcome != usual for outcome in self.graceful)
        return (
            _chance(other_without, len(self.without), other_graceful, len(self.graceful)) < CHANCE
        )

    @property
    def told(self) -> str:
        """``10 passed / 9 passed, 1 failed``: without / with."""
        return f"{_counted(self.without)} / {_counted(self.graceful)}"


def _chance(first: int, of_first: int, second: int, of_second: int) -> float:
    """How likely ``second`` or more of the same number of hits are where both sides are alike."""
    hits = first + second
    ways = sum(
        comb(of_second, more) * comb(of_first, hits - more)
        for more in range(second, min(hits, of_second) + 1)
    )
    return ways / comb(of_first + of_second, hits)


def _counted(outcomes: Sequence[str]) -> str:
    counts = Counter(outcomes).most_common()
    return ", ".join(f"{count} {outcome}" for outcome, count in counts) or MISSING
