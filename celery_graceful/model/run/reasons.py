"""Why an execution stops before its run is done."""

from __future__ import annotations

from enum import Enum


class StopReason(str, Enum):
    """The reason an execution was asked to stop; compares equal to its lower-case name."""

    SHUTDOWN = "shutdown"
    MAINTENANCE = "maintenance"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    MAX_EXECUTION_TIME = "max_execution_time"
    THROTTLED = "throttled"
    LEASE_LOST = "lease_lost"
    #: The store cannot be used: the run waits for it without a slot.
    STORE_UNAVAILABLE = "store_unavailable"

    def __str__(self) -> str:
        return self.value


#: Voluntary stops: the run goes back to its own queue, behind others.
VOLUNTARY = (StopReason.MAX_EXECUTION_TIME, StopReason.THROTTLED, StopReason.MAINTENANCE)
