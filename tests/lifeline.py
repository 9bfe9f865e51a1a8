"""Processes that die with the test run, also when it is killed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# The change of user comes before prctl, for it clears the death signal, and after the import, for
# the other user may not read this Python. Only Linux knows that signal; it sends it when the thread
# that started the process ends.
_SHIM = """
import os, sys
runner, user, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
linux = sys.platform == "linux"
if linux:
    import ctypes
    prctl = ctypes.CDLL(None).prctl
if user:
    import pwd
    account = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
if linux:
    prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL
    if runner and os.getppid() != runner:
        sys.exit("the test run has ended")
os.execvp(command[0], command)
"""


def bound_to_this_process(argv: Sequence[str], *, user: str | None = None) -> list[str]:
    """The command that runs ``argv`` under its own pid and lets it die with this process.

    Start it from the main thread. Root may give the ``user`` to run it as.
    """
    return _bound_to(os.getpid(), user or "", argv)


def bound_to_parent(argv: Sequence[str]) -> list[str]:
    """The same for a command that another process starts: it dies with that one."""
    return _bound_to(0, "", argv)


def _bound_to(runner: int, user: str, argv: Sequence[str]) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", _SHIM, str(runner), user, *argv]
