"""Starting a command from the guardian: fork, a clean slate, exec."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal costs ten times as much
import marshal
import posix

from celery_graceful.processes.guardian import system
from celery_graceful.processes.guardian.wire import CHUNK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: An errno, and the program or folder it is about.
Failure = tuple[int, bytes]


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
    """Turn this fork into the command, with nothing of the guardian's but the output."""
    posix.setsid()
    system.die_with_parent()
    if posix.getppid() != guardian:
        posix._exit(127)  # killed before that: nobody is there to end what would be started
    posix.dup2(posix.open("/dev/null", posix.O_RDWR), 0)
    posix.dup2(output, 1)
    posix.dup2(output, 2)
    system.handle_all(_signal.SIG_DFL, faults=True)
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
