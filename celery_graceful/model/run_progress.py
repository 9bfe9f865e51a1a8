"""How far a run has come, for its task."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come.

    Exact within an item, in the thread that runs the task; elsewhere as of the loop's last look.
    """

    #: Items done since the run began, over all executions.
    current: int
    #: What ``count()`` returned at the start, or ``None``.
    total: int | None
    #: Everything up to and including this is done; ``None`` before the first item.
    cursor: Any
    #: How often the run was resumed.
    resumptions: int
    #: When the run began (UTC).
    started_at: datetime
    #: With ``track_in_doubt``: the cursor of the one item that an earlier execution may have run
    #: already, until it has run here; else ``None``.
    in_doubt: Any = None
    #: With ``max_failed_items``: the quarantined items since the run began.
    errors: int = 0

    @property
    def percent(self) -> float | None:
        """``current`` in percent of ``total``, at most 100; ``None`` without a total."""
        if not self.total:
            return None
        return min(100.0, 100.0 * self.current / self.total)
