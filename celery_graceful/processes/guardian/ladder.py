"""What the guardian does next: a pure decision."""

from __future__ import annotations

__all__ = ["KILL_PATIENCE", "Step", "next_step"]

#: Seconds after SIGKILL until what is still there is given up.
KILL_PATIENCE = 2.0


class Step:
    """The rungs of the ladder. An enum would cost the guardian ten modules."""

    WATCH, ASK, KILL, LEAVE, GIVE_UP = "watch", "ask", "kill", "leave", "give up"


def next_step(now: float, asked: float | None, grace: float, alive: bool) -> str:
    """What to do at ``now``.

    Args:
        now: monotonic seconds.
        asked: when the end was asked for; ``None`` while it was not.
        grace: seconds from then until SIGKILL.
        alive: whether the command or anything that descends from it is left.

    Returns:
        One of ``Step``.
    """
    if asked is None:
        return Step.WATCH
    if not alive:
        return Step.LEAVE
    if now < asked + grace:
        return Step.ASK
    return Step.KILL if now < asked + grace + KILL_PATIENCE else Step.GIVE_UP
