"""The guardian's work: watch one command, keep its latest output, end all that descends from it."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal costs ten times as much
import posix
import time

from celery_graceful.processes.guardian import system
from celery_graceful.processes.guardian.escalation import (
    COMMAND_MOMENT,
    KILL_PATIENCE,
    MOMENT,
    Step,
    next_step,
)
from celery_graceful.processes.guardian.frames import CHUNK, Channel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: How much of the latest output is kept, in bytes.
TAIL = 64 * 1024
#: Seconds between two rounds of asking orphans, of killing, and of looking for the owner (where
#: there are no pidfds).
_ASK_EVERY, _KILL_EVERY, _OWNER_EVERY = 0.05, 0.005, 1.0
#: A round of killing counts as so many seconds at most, however long this process stood still.
_STANDSTILL = 0.1
#: How often a full pipe is read before something else has its turn.
_TURNS = 32


class Guardian:
    """One command and all that descends from it."""

    def __init__(self, channel: Channel, options: dict[str, Any]) -> None:
        self.channel, self.options = channel, options
        #: When the stop began, and seconds from then to SIGKILL.
        self.stop_since: float | None = None
        self.grace: float = options["grace"]
        #: The least that the grace may become, once it has begun.
        self.least = 0.0
        #: Seconds spent on killing.
        self.killing = 0.0
        #: Pids of the command and of its stop command; 0 before they are started.
        self.pid = self.stopper = 0
        self.code: int | None = None
        self.alive = True
        self.unkillable = False
        self.asked: set[int] = set()
        self.reported: set[str] = set()
        self.tail = b""
        self.streams: bool = options["stream"]
        self.output, self.target = (-1, 1) if options["file"] else posix.pipe()
        self.wake, wake = posix.pipe()
        for fd in (self.wake, wake, self.output):
            if fd >= 0:
                posix.set_blocking(fd, False)
        _signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        _signal.signal(_signal.SIGCHLD, lambda *_: None)
        self.owner = system.pidfd(options["owner"])

    def begin(self) -> bool:
        """Start the command and report that; whether it could be started."""
        self.pid, failure = system.start(self.options["argv"], self.options, self.target)
        if failure is not None:
            self.channel.send("failed", *failure)
            return False
        self.channel.send("started", self.pid)
        return True

    def watch(self) -> None:
        """Stay until the end is asked for and all have ended, or cannot be ended."""
        while True:
            self.reap()
            now = time.monotonic()
            asked = bool(self.asked)
            step = next_step(now, self.stop_since, self.grace, self.alive, asked, self.killing)
            if step == Step.LEAVE:
                return
            if step == Step.GIVE_UP:
                self.unkillable = True
                self.channel.send("left", system.children())
                return
            pause = -1.0 if self.owner >= 0 else _OWNER_EVERY
            if step == Step.ASK:
                self.ask()
                pause = max(0.0, min(_ASK_EVERY, (self.stop_since or now) + self.grace - now))
            elif step == Step.KILL:
                self.kill()
                pause = _KILL_EVERY
            self.wait(pause)
            if step == Step.KILL:
                self.killing += min(time.monotonic() - now, _STANDSTILL)

    # -- what comes in ------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        """Wait for frames, output, the end of a child or of the owner; -1: without a limit."""
        import select  # a library of its own, not needed before the command runs

        poll = select.poll()
        for fd in (self.wake, self.output, self.owner):
            if fd >= 0:
                poll.register(fd, select.POLLIN)
        unsent = self.channel.read_by_owner and self.channel.unsent
        wanted = (select.POLLIN if self.channel.open else 0) | (select.POLLOUT if unsent else 0)
        if wanted:
            poll.register(self.channel.fd, wanted)
        ready = [fd for fd, _ in poll.poll(-1 if seconds < 0 else seconds * 1000)]
        if self.wake in ready:
            posix.read(self.wake, CHUNK)
        if self.output in ready:
            self.read_output(1)
        if self.channel.fd in ready:
            self.channel.write()
            if self.channel.open:
                self.obey(self.channel.receive())
        self.check_owner(self.owner in ready)

    def check_owner(self, ended: bool) -> None:
        """Without an owner the stop begins, with the whole grace."""
        if self.owner < 0:
            ended = posix.getppid() != self.options["owner"]
        elif ended:
            posix.close(self.owner)
            self.owner = -1
        if (ended or not self.channel.open) and self.stop_since is None:
            self.stop_since = time.monotonic()

    def obey(self, frames: list[tuple[Any, ...]]) -> None:
        """Do what the owner wants."""
        for name, *values in frames:
            if name == "stop":
                self.stop(values[0])
            elif name == "tail":
                self.read_output(_TURNS)
                self.channel.send("tail", self.tail[-TAIL:])
            elif name == "quiet":
                self.streams = False

    def stop(self, grace: float) -> None:
        """Begin to end all; asked again, it can only become faster."""
        now = time.monotonic()
        if self.stop_since is None:
            self.stop_since, self.grace = now, grace
        self.grace = max(self.least, min(self.grace, now - self.stop_since + grace))

    def read_output(self, turns: int) -> None:
        """Take what was written, so that no writer ever waits for a reader."""
        for _ in range(turns if self.output >= 0 else 0):
            try:
                data = posix.read(self.output, CHUNK)
            except BlockingIOError:
                return
            if not data:
                posix.close(self.output)
                self.output = -1
                return
            self.tail = data if len(data) == TAIL else self.tail[-TAIL:] + data
            if self.streams:
                self.channel.send("output", data)

    def reap(self) -> None:
        """Reap all that have ended, adopted ones too; ``alive``: whether any is left."""
        while True:
            try:
                pid, status = posix.waitpid(-1, posix.WNOHANG)
            except ChildProcessError:
                self.alive = not system.LINUX and system.group_alive(self.pid)
                return
            if pid == 0:
                self.alive = True
                return
            self.on_end(pid, posix.waitstatus_to_exitcode(status))

    def on_end(self, pid: int, code: int) -> None:
        """Report the command's end; signal it if its stop command failed."""
        if pid == self.pid:
            self.code = code
            self.read_output(_TURNS)
            self.channel.send("ended", code, self.stop_since is None, self.tail[-TAIL:])
        elif pid == self.stopper and code:
            self.report(f"its stop command ended with {code}: it got the stop signal")
            self.signal_group()

    # -- what is done -------------------------------------------------------------------------

    def ask(self) -> None:
        """Ask the command to end, and once it has ended all that it left behind."""
        if not self.asked:
            self.asked.add(self.pid)
            self.ask_command()
            moment = COMMAND_MOMENT if self.stopper else MOMENT
            self.least = time.monotonic() - (self.stop_since or 0.0) + moment
            self.grace = max(self.grace, self.least)
        if self.code is None:
            return
        for pid in system.children():
            if pid not in self.asked and pid != self.stopper:
                self.asked.add(pid)
                self.send_signal(posix.kill, pid, self.options["stop_signal"])

    def ask_command(self) -> None:
        """Run the stop command, or send the stop signal."""
        if not self.options["stop_command"] or self.code is not None:
            return self.signal_group()
        pid, failure = system.start(self.options["stop_command"], self.options, self.target)
        if failure is None:
            self.stopper = pid
        else:
            self.report(
                f"its stop command cannot be run (error {failure[0]}): it got the stop signal"
            )
            self.signal_group()

    def signal_group(self) -> None:
        """Signal the command and its group; one that was halted has to run to notice."""
        if self.code is None:
            self.asked.update(system.group_members(self.pid))  # not those that start later
            self.send_signal(posix.killpg, self.pid, self.options["stop_signal"])
            self.send_signal(posix.killpg, self.pid, _signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL the group and all children; their children become ours and are next.

        Nothing that was reaped is killed: the pid could be another's by now. Without adoption the
        group is all there is, and it still has members.
        """
        if self.pid and (self.code is None or not system.LINUX):
            self.send_signal(posix.killpg, self.pid, _signal.SIGKILL)
        for pid in system.children():
            self.send_signal(posix.kill, pid, _signal.SIGKILL)

    def kill_all(self) -> None:
        """Kill, generation by generation, until nothing is left."""
        until = time.monotonic() + KILL_PATIENCE
        while self.alive and time.monotonic() < until:
            self.kill()
            time.sleep(_KILL_EVERY)
            self.reap()
        self.unkillable = self.alive

    def send_signal(self, how: Callable[[int, int], None], pid: int, number: int) -> None:
        """Signal a process that may have ended, or may not be signalled from here."""
        try:
            how(pid, number)
        except ProcessLookupError:
            return
        except PermissionError:
            self.report(f"no permission to signal {pid}: a stop_command may have it")

    def unregister(self) -> None:
        """Remove the command from the registry, unless something of it is left."""
        entry = self.options["entry"]
        if entry and not self.unkillable:
            try:
                posix.unlink(entry)
            except OSError as error:
                self.report(f"its entry in the registry could not be removed ({error})")

    def report(self, trouble: str) -> None:
        """Tell the owner, once."""
        if trouble not in self.reported:
            self.reported.add(trouble)
            self.channel.send("trouble", trouble)


def main() -> None:
    """Be a guardian, from the owner's first frame until nothing is left to be guarded."""
    posix.setsid()
    posix.chdir("/")
    system.handle_all(_signal.SIG_IGN, faults=False)
    system.close_inherited()
    channel = Channel(0)
    frames = channel.first()
    if frames and frames[0][0] == "start":
        guardian = Guardian(channel, frames[0][1])
        _guard(guardian, frames[1:])
        guardian.unregister()
        channel.send("over")
        channel.flush(1.0)
    posix._exit(0)


def _guard(guardian: Guardian, frames: list[tuple[Any, ...]]) -> None:
    try:
        system.adopt_orphans()
        system.set_name()
        if not guardian.begin():
            return
        guardian.obey(frames)
        guardian.watch()
        guardian.read_output(_TURNS)
        guardian.channel.send("tail", guardian.tail[-TAIL:])
    except Exception as error:  # nobody else would do its work
        guardian.report(f"its guardian failed ({error!r}): all is killed at once")
        guardian.kill_all()
