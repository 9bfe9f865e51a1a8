"""What the guardian asks of the operating system, where Linux offers more than the others."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal costs ten times as much
import marshal
import posix
import sys

from celery_graceful.processes.guardian.frames import CHUNK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LINUX = sys.platform == "linux"
#: The guardian's name in a list of processes; at most 14 characters, for psutil.
NAME = "graceful-guard"
_SUBREAPER, _DEATH_SIGNAL = 36, 1  # PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG
_UNCATCHABLE = {_signal.SIGKILL, _signal.SIGSTOP}
#: Signals for a fault of the process itself.
_FAULTS = {_signal.SIGSEGV, _signal.SIGBUS, _signal.SIGFPE, _signal.SIGILL, _signal.SIGABRT}
#: An errno, and the program or folder it is about.
Failure = tuple[int, bytes]


# -- this process ----------------------------------------------------------------------------


def _prctl(option: int, value: int) -> None:
    """Linux only. The bare ``_ctypes`` loads in a tenth of the time of ``ctypes``."""
    import _ctypes

    own = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]  # what is loaded already
    prctl = _ctypes.dlsym(own, "prctl")
    _ctypes.call_cdeclfunction(prctl, (option, value, 0, 0, 0))


def adopt_orphans() -> None:
    """Become the parent of every descendant that loses its own. Linux only."""
    if LINUX:
        _prctl(_SUBREAPER, 1)


def set_name() -> None:
    """Show ``NAME`` in process lists, as a zombie too. Linux only, where it is permitted."""
    if LINUX:
        try:
            with open("/proc/self/comm", "wb") as file:
                file.write(NAME.encode())
        except OSError:
            return  # it guards as well without; only its zombie is not recognized


def handle_all(handler: Any, *, faults: bool) -> None:
    """Give every signal the same handler, and block none."""
    for number in _signal.valid_signals() - _UNCATCHABLE - (set() if faults else _FAULTS):
        _signal.signal(number, handler)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def close_inherited() -> None:
    """Close all descriptors except the three standard ones and the lock of the registry."""
    posix.set_inheritable(3, False)
    for fd in posix.listdir("/dev/fd"):
        if int(fd) > 3:
            try:
                posix.close(int(fd))
            except OSError:
                continue  # the one that listed them


# -- other processes -------------------------------------------------------------------------


def children() -> list[int]:
    """The pids of this process's children, adopted ones included; none except on Linux."""
    me = posix.getpid()
    try:
        with open(f"/proc/self/task/{me}/children", "rb") as file:
            return [int(pid) for pid in file.read().split()]
    except FileNotFoundError:
        return _search(_PARENT, me) if LINUX else []


def group_members(group: int) -> list[int]:
    """The pids of a process group; none except on Linux."""
    return _search(_GROUP, group) if LINUX else []


#: Fields of ``/proc/PID/stat`` behind the name, see proc(5).
_PARENT, _GROUP = 1, 2


def _search(field: int, value: int) -> list[int]:
    found = []
    for name in posix.listdir("/proc"):
        try:
            with open(f"/proc/{int(name)}/stat", "rb") as file:
                after_name = file.read().rpartition(b")")[2].split()
        except (OSError, ValueError):
            continue  # not a process, or not any more
        if int(after_name[field]) == value:
            found.append(int(name))
    return found


def group_alive(group: int) -> bool:
    """Whether a process group has members."""
    try:
        posix.killpg(group, 0)
    except OSError:
        return False
    return True


def pidfd(pid: int) -> int:
    """A descriptor that becomes readable when ``pid`` ends; -1 where the system has none."""
    try:
        return posix.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1


# -- starting a command ----------------------------------------------------------------------


def start(argv: list[bytes], options: dict[str, Any], output: int) -> tuple[int, Failure | None]:
    """Start a command in a session of its own; returns its pid, or why it could not be.

    Args:
        argv: the program, looked for in the command's own ``PATH``, and its arguments.
        options: with ``cwd`` and ``env`` of the command.
        output: the descriptor of its stdout and stderr.
    """
    guardian = posix.getpid()
    pipe: tuple[int, ...] = ()
    try:
        pipe = errors, write = posix.pipe()
        pid = posix.fork()
    except OSError as error:  # too many files, or processes
        for fd in pipe:
            posix.close(fd)
        return 0, (error.errno or 0, argv[0])
    if pid == 0:
        try:
            _become(argv, options, output, guardian)
        except OSError as error:
            posix.write(write, marshal.dumps((error.errno, error.filename)))
        finally:
            posix._exit(127)
    posix.close(write)
    answer = b""
    while data := posix.read(errors, CHUNK):
        answer += data
    posix.close(errors)
    return pid, marshal.loads(answer) if answer else None


def _become(argv: list[bytes], options: dict[str, Any], output: int, guardian: int) -> None:
    """Turn this fork into the command, with nothing of the guardian's except the output."""
    posix.setsid()
    if LINUX:
        _prctl(_DEATH_SIGNAL, _signal.SIGKILL)  # should the guardian be killed
    if posix.getppid() != guardian:
        posix._exit(127)  # it was killed before that: nobody would end what is started here
    posix.dup2(posix.open("/dev/null", posix.O_RDWR), 0)
    posix.dup2(output, 1)
    posix.dup2(output, 2)
    handle_all(_signal.SIG_DFL, faults=True)
    posix.chdir(options["cwd"])
    raise _execute(argv, options["env"])


def _execute(argv: list[bytes], env: dict[bytes, bytes]) -> OSError:
    """Become the program; returns why not, with the program's name as it was given."""
    program = argv[0]
    folders = [b""] if b"/" in program else env.get(b"PATH", b"/usr/bin:/bin").split(b":")
    number = 2  # ENOENT
    for folder in folders:
        try:
            posix.execve(folder + b"/" + program if folder else program, argv, env)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            number = error.errno or number
    return OSError(number, "cannot be run", program)
