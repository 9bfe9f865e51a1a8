"""Whether a worker's runs wait because its store cannot be used."""

from __future__ import annotations

from dataclasses import dataclass, replace

#: Failed look-ups in a row after which runs wait: one may be a connection that was closed.
FAILURES = 2
#: Seconds for which runs wait after the store refused one of them, the first time and at most.
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0


@dataclass(frozen=True, slots=True)
class Outage:
    """What a worker knows of its store's trouble. Times are monotonic seconds.

    The worker's main process polls the store. An execution may be refused all the same: other
    rights, other keys, no connection left for it. Then runs wait for a while, each time longer.
    """

    #: Whether the store has ever answered.
    seen: bool = False
    failures: int = 0
    #: Until when runs wait since an execution was refused.
    until: float = float("-inf")
    pause: float = 0.0

    def failed(self) -> Outage:
        """The store could not be used."""
        return replace(self, failures=self.failures + 1)

    def answered(self) -> Outage:
        """The store could be used."""
        return replace(self, failures=0, seen=True) if self.failures or not self.seen else self

    def refused(self, now: float) -> Outage:
        """An execution could not use the store."""
        if now < self.until:
            return self  # of the same moment as the one before
        again = now < self.until + 2 * LONGEST_PAUSE
        pause = min(2 * self.pause, LONGEST_PAUSE) if again else FIRST_PAUSE
        return replace(self, until=now + pause, pause=pause)

    def waits(self, now: float) -> bool:
        """Whether runs wait."""
        return not self.seen or self.failures >= FAILURES or now < self.until
