"""What the guardian does next: a pure decision."""

from __future__ import annotations

#: Seconds after SIGKILL until what is still there is no longer tried.
KILL_PATIENCE = 2.0
#: Seconds that whoever was asked has at least, by a signal and by a stop command.
MOMENT, COMMAND_MOMENT = 0.1, 1.0


class Step:
    """The rungs of the ladder. An enum would cost the guardian ten modules."""

    WATCH, ASK, KILL, LEAVE, GIVE_UP = "watch", "ask", "kill", "leave", "give up"


def next_step(
    now: float,
    asked: float | None,
    grace: float,
    alive: bool,
    told: bool = True,
    killing: float = 0.0,
) -> str:
    """What to do at ``now``.

    Args:
        now: monotonic seconds.
        asked: when the end was asked for; ``None`` while it was not.
        grace: seconds from then until SIGKILL.
        alive: whether the command or anything that descends from it is left.
        told: whether it has been asked itself; nobody is killed before that.
        killing: seconds spent on killing, without those in which the guardian stood still: nobody
            is left alone who was not killed.

    Returns:
        One of ``Step``.
    """
    if asked is None:
        return Step.WATCH
    if not alive:
        return Step.LEAVE
    if not told or now < asked + grace:
        return Step.ASK
    return Step.KILL if killing < KILL_PATIENCE else Step.GIVE_UP
