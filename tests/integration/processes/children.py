"""The kinds of processes that tasks start, as shell scripts."""

from __future__ import annotations

from typing import NamedTuple


class Child(NamedTuple):
    """A script for ``sh``, and what is to be expected of it."""

    script: str
    #: It ends by itself, with this exit code.
    ends_with: int | None = None
    #: It has to be killed.
    stubborn: bool = False
    #: It never does what ``ready`` waits for.
    never_ready: bool = False


_STUBBORN = "trap '' TERM INT HUP; echo up; while :; do sleep 600; done"

CHILDREN = {
    "well-behaved": Child("echo up; exec sleep 600"),
    "ignores-sigterm": Child(_STUBBORN, stubborn=True),
    "grandchildren": Child("sleep 600 & (sleep 600 & sleep 600) & echo up; wait"),
    "double-forked": Child("(setsid sleep 600 >/dev/null 2>&1 &); echo up; exec sleep 600"),
    "stubborn-daemon": Child(
        f'(setsid sh -c "{_STUBBORN}" &); echo up; exec sleep 600', stubborn=True
    ),
    "floods": Child("echo up; exec yes"),
    "dies-early": Child("sleep 600 & echo up; exit 3", ends_with=3),
    "daemonizes": Child("(setsid sleep 600 &); echo up; exit 0", ends_with=0),
    "never-ready": Child("exec sleep 600", never_ready=True),
}
