"""What the guardian does next: a pure decision."""

from __future__ import annotations

#: Seconds after SIGKILL until a process that is still there counts as unkillable.
KILL_PATIENCE = 2.0
#: Seconds that a process has at least after the stop signal, and after the stop command.
MOMENT, COMMAND_MOMENT = 0.1, 1.0


class Step:
    """What to do. An enum would cost the guardian ten modules."""

    WATCH, ASK, KILL, LEAVE, GIVE_UP = "watch", "ask", "kill", "leave", "give up"


def next_step(
    now: float,
    stop_since: float | None,
    grace: float,
    alive: bool,
    was_asked: bool = True,
    killing: float = 0.0,
) -> str:
    """What to do at ``now``.

    Args:
        now: monotonic seconds.
        stop_since: when the stop began; ``None`` while nobody wants one.
        grace: seconds from then until SIGKILL.
        alive: whether the command or a descendant is left.
        was_asked: whether the command was asked to end; nothing is killed before that.
        killing: seconds spent on killing, without those in which the guardian stood still: nothing
            counts as unkillable before it was killed.

    Returns:
        One of ``Step``.
    """
    if stop_since is None:
        return Step.WATCH
    if not alive:
        return Step.LEAVE
    if not was_asked or now < stop_since + grace:
        return Step.ASK
    return Step.KILL if killing < KILL_PATIENCE else Step.GIVE_UP
