"""What the guardian asks of the system. Linux knows more than the others."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal costs ten times as much
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LINUX = sys.platform == "linux"
#: How a guardian is called in a list of processes; at most 14 characters, for psutil.
NAME = "graceful-guard"
_SUBREAPER, _DEATH_SIGNAL = 36, 1  # PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG
_FIXED = {_signal.SIGKILL, _signal.SIGSTOP}
#: What comes from a fault of this process itself.
_FAULTS = {_signal.SIGSEGV, _signal.SIGBUS, _signal.SIGFPE, _signal.SIGILL, _signal.SIGABRT}


def _prctl(option: int, value: int) -> None:
    """Linux only. The bare ``_ctypes`` loads in a tenth of the time of ``ctypes``."""
    import _ctypes

    own = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]  # what is loaded already
    prctl = _ctypes.dlsym(own, "prctl")
    _ctypes.call_cdeclfunction(prctl, (option, value, 0, 0, 0))


def adopt_orphans() -> None:
    """Become the parent of every descendant that loses its own."""
    if LINUX:
        _prctl(_SUBREAPER, 1)


def be_named() -> None:
    """Show ``NAME``, which a zombie shows as well. Linux only, and only where that may be."""
    if LINUX:
        try:
            with open("/proc/self/comm", "wb") as file:
                file.write(NAME.encode())
        except OSError:
            return  # it guards as well without; its zombie is then nobody's to reap


def die_with_parent() -> None:
    """Be killed when the parent is: a guardian without a chance to do its work."""
    if LINUX:
        _prctl(_DEATH_SIGNAL, _signal.SIGKILL)


def handle_all(handler: Any, *, faults: bool) -> None:
    """Give every signal the same handler, and block none."""
    for number in _signal.valid_signals() - _FIXED - (set() if faults else _FAULTS):
        _signal.signal(number, handler)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def close_others() -> None:
    """Close all that was handed down but the three standard ones and the ledger's lock."""
    posix.set_inheritable(3, False)
    for fd in posix.listdir("/dev/fd"):
        if int(fd) > 3:
            try:
                posix.close(int(fd))
            except OSError:
                continue  # the one that listed them


def children() -> list[int]:
    """The pids of this process's children, with those it adopted; none but on Linux."""
    me = posix.getpid()
    try:
        with open(f"/proc/self/task/{me}/children", "rb") as file:
            return [int(pid) for pid in file.read().split()]
    except FileNotFoundError:
        return _children_of(me) if LINUX else []


def _children_of(parent: int) -> list[int]:
    """For kernels that do not list them."""
    found = []
    for name in posix.listdir("/proc"):
        try:
            with open(f"/proc/{int(name)}/stat", "rb") as file:
                after_name = file.read().rpartition(b")")[2].split()
        except (OSError, ValueError):
            continue  # not a process, or none any more
        if int(after_name[1]) == parent:
            found.append(int(name))
    return found


def group_alive(group: int) -> bool:
    """Whether a process group has members."""
    try:
        posix.killpg(group, 0)
    except OSError:
        return False
    return True


def group_of(pid: int) -> int:
    """The process group of ``pid``; 0 once that is gone."""
    try:
        return posix.getpgid(pid)
    except ProcessLookupError:
        return 0


def watched(pid: int) -> int:
    """A descriptor that becomes readable when ``pid`` ends; -1 where there is none."""
    try:
        return posix.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1
