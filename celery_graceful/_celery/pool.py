"""The prefork pool: noticing dead children soon."""

from __future__ import annotations

from typing import Any

__all__ = ["look_for_dead_children"]


def look_for_dead_children(worker: Any, hub: Any, every: float) -> None:
    """Have a prefork pool look for dead children every so many seconds.

    The pool hears of a death when the child's pipe closes, looks whether the child has ended, and
    on a busy machine it has not quite; the next look would come with a timer of 5 s.
    """
    maintain = getattr(getattr(worker.pool, "_pool", None), "maintain_pool", None)
    if maintain is not None:
        hub.call_repeatedly(every, maintain)
