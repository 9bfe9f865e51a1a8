"""Times that are measured while others use the machine too."""

from __future__ import annotations

from collections.abc import Callable


def best_of(trial: Callable[[], None], trials: int = 5) -> None:
    """Repeat ``trial`` until its assertions hold once.

    Whoever uses the machine may delay some trials; a defect fails all of them.

    Args:
        trial: what is measured, from the beginning, and what is asserted of it.
        trials: how many there are at most.

    Raises:
        AssertionError: that of the last trial.
    """
    for left in reversed(range(trials)):
        try:
            return trial()
        except AssertionError:
            if not left:
                raise
