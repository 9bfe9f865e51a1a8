"""The guardian's work: watch one command, keep its latest output, end all that descends from it."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal costs ten times as much
import posix
import time

from celery_graceful.processes.guardian import system
from celery_graceful.processes.guardian.ladder import (
    COMMAND_MOMENT,
    KILL_PATIENCE,
    MOMENT,
    Step,
    next_step,
)
from celery_graceful.processes.guardian.starting import start
from celery_graceful.processes.guardian.wire import CHUNK, Link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: How much of the latest output is kept, in bytes.
TAIL = 64 * 1024
#: Seconds between two looks: for orphans to ask, for children to kill, for an owner without pidfd.
_LOOK, _KILL_LOOK, _OWNER_LOOK = 0.05, 0.005, 1.0
#: What a round of killing counts at most, in seconds, however long this process stood still in it.
_STANDSTILL = 0.1
#: How often a full pipe is read before something else has its turn.
_TURNS = 32


class Guardian:
    """One command and all that descends from it."""

    def __init__(self, link: Link, options: dict[str, Any]) -> None:
        self.link, self.options = link, options
        self.asked: float | None = None
        self.grace: float = options["grace"]
        #: The least that the grace may become, once it has begun.
        self.least = 0.0
        #: Seconds spent on killing.
        self.killing = 0.0
        #: Of the command, of its stop command; 0 before they are started.
        self.pid = self.stopper = 0
        self.code: int | None = None
        self.alive = True
        self.given_up = False
        self.told: set[int] = set()
        self.complained: set[str] = set()
        self.tail = b""
        self.streams: bool = options["stream"]
        self.output, self.target = (-1, 1) if options["file"] else posix.pipe()
        self.wake, wake = posix.pipe()
        for fd in (self.wake, wake, self.output):
            if fd >= 0:
                posix.set_blocking(fd, False)
        _signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        _signal.signal(_signal.SIGCHLD, lambda *_: None)
        self.owner = system.watched(options["owner"])

    def begin(self) -> bool:
        """Start the command; whether that went well. The owner is told."""
        self.pid, failure = start(self.options["argv"], self.options, self.target)
        if failure is not None:
            self.link.send("failed", *failure)
            return False
        self.link.send("started", self.pid)
        return True

    def stay(self) -> None:
        """Watch until the end is asked for and all have ended, or cannot be ended."""
        while True:
            self.reap()
            now = time.monotonic()
            step = next_step(now, self.asked, self.grace, self.alive, bool(self.told), self.killing)
            if step == Step.LEAVE:
                return
            if step == Step.GIVE_UP:
                self.given_up = True
                self.link.send("left", system.children())
                return
            pause = -1.0 if self.owner >= 0 else _OWNER_LOOK
            if step == Step.ASK:
                self.ask()
                pause = max(0.0, min(_LOOK, (self.asked or now) + self.grace - now))
            elif step == Step.KILL:
                self.kill()
                pause = _KILL_LOOK
            self.wait(pause)
            if step == Step.KILL:
                self.killing += min(time.monotonic() - now, _STANDSTILL)

    # -- what comes ---------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        """Wait for frames, output, the end of a child or of the owner; -1: without a limit."""
        import select  # a library of its own, not needed before the command runs

        poll = select.poll()
        for fd in (self.wake, self.output, self.owner):
            if fd >= 0:
                poll.register(fd, select.POLLIN)
        unsent = self.link.heard and self.link.unsent
        wanted = (select.POLLIN if self.link.open else 0) | (select.POLLOUT if unsent else 0)
        if wanted:
            poll.register(self.link.fd, wanted)
        ready = [fd for fd, _ in poll.poll(-1 if seconds < 0 else seconds * 1000)]
        if self.wake in ready:
            posix.read(self.wake, CHUNK)
        if self.output in ready:
            self.drain(1)
        if self.link.fd in ready:
            self.link.write()
            if self.link.open:
                self.obey(self.link.read())
        self.look_for_owner(self.owner in ready)

    def look_for_owner(self, ended: bool) -> None:
        """Without an owner the end is due, with the whole grace."""
        if self.owner < 0:
            ended = posix.getppid() != self.options["owner"]
        elif ended:
            posix.close(self.owner)
            self.owner = -1
        if (ended or not self.link.open) and self.asked is None:
            self.asked = time.monotonic()

    def obey(self, frames: list[tuple[Any, ...]]) -> None:
        """Do what the owner wants."""
        for name, *values in frames:
            if name == "stop":
                self.stop(values[0])
            elif name == "tail":
                self.drain(_TURNS)
                self.link.send("tail", self.tail[-TAIL:])
            elif name == "quiet":
                self.streams = False

    def stop(self, grace: float) -> None:
        """Begin to end all; asked for again, it can only become faster."""
        now = time.monotonic()
        if self.asked is None:
            self.asked, self.grace = now, grace
        self.grace = max(self.least, min(self.grace, now - self.asked + grace))

    def drain(self, turns: int) -> None:
        """Take what was written, so that nobody who writes ever waits for a reader."""
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
                self.link.send("output", data)

    def reap(self) -> None:
        """Take in who has ended, adopted ones too; ``alive``: whether anybody is left."""
        while True:
            try:
                pid, status = posix.waitpid(-1, posix.WNOHANG)
            except ChildProcessError:
                self.alive = not system.LINUX and system.group_alive(self.pid)
                return
            if pid == 0:
                self.alive = True
                return
            self.ended(pid, posix.waitstatus_to_exitcode(status))

    def ended(self, pid: int, code: int) -> None:
        """Tell of the command's end, and act on that of its stop command."""
        if pid == self.pid:
            self.code = code
            self.drain(_TURNS)
            self.link.send("ended", code, self.asked is None, self.tail[-TAIL:])
        elif pid == self.stopper and code:
            self.complain(f"its stop command ended with {code}: it got the stop signal")
            self.signal_group()

    # -- what is done -------------------------------------------------------------------------

    def ask(self) -> None:
        """Ask the command to end, and once it is gone all that it left behind."""
        if not self.told:
            self.told.add(self.pid)
            self.ask_command()
            moment = COMMAND_MOMENT if self.stopper else MOMENT
            self.least = time.monotonic() - (self.asked or 0.0) + moment
            self.grace = max(self.grace, self.least)
        if self.code is None:
            return
        for pid in system.children():
            if pid not in self.told and pid != self.stopper:
                self.told.add(pid)
                self.send(posix.kill, pid, self.options["stop_signal"])

    def ask_command(self) -> None:
        """Run the stop command, or send the stop signal."""
        if not self.options["stop_command"] or self.code is not None:
            return self.signal_group()
        pid, failure = start(self.options["stop_command"], self.options, self.target)
        if failure is None:
            self.stopper = pid
        else:
            self.complain(
                f"its stop command cannot be run (error {failure[0]}): it got the stop signal"
            )
            self.signal_group()

    def signal_group(self) -> None:
        """Signal the command and its group; who was halted has to run to hear it."""
        if self.code is None:
            self.told.update(pid for pid in system.children() if system.group_of(pid) == self.pid)
            self.send(posix.killpg, self.pid, self.options["stop_signal"])
            self.send(posix.killpg, self.pid, _signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL the group and all children; their children become ours and are next.

        Nobody who was reaped is killed: the pid could be another's by now. Without adoption the
        group is all there is, and it still has members.
        """
        if self.pid and (self.code is None or not system.LINUX):
            self.send(posix.killpg, self.pid, _signal.SIGKILL)
        for pid in system.children():
            self.send(posix.kill, pid, _signal.SIGKILL)

    def kill_all(self) -> None:
        """Kill, generation by generation, until nobody is left."""
        until = time.monotonic() + KILL_PATIENCE
        while self.alive and time.monotonic() < until:
            self.kill()
            time.sleep(_KILL_LOOK)
            self.reap()
        self.given_up = self.alive

    def send(self, how: Callable[[int, int], None], pid: int, number: int) -> None:
        """Send a signal to somebody who may have gone, or be out of reach."""
        try:
            how(pid, number)
        except ProcessLookupError:
            return
        except PermissionError:
            self.complain(f"no permission to signal {pid}: a stop_command may have it")

    def strike_out(self) -> None:
        """Take the command out of the ledger, unless something of it is left."""
        entry = self.options["entry"]
        if entry and not self.given_up:
            try:
                posix.unlink(entry)
            except OSError as error:
                self.complain(f"its entry in the ledger could not be removed ({error})")

    def complain(self, what: str) -> None:
        """Tell the owner, once."""
        if what not in self.complained:
            self.complained.add(what)
            self.link.send("trouble", what)


def main() -> None:
    """Be a guardian, from the owner's first frame until nobody is left to be guarded."""
    posix.setsid()
    posix.chdir("/")
    system.handle_all(_signal.SIG_IGN, faults=False)
    system.close_others()
    link = Link(0)
    frames = link.first()
    if frames and frames[0][0] == "start":
        guardian = Guardian(link, frames[0][1])
        _guard(guardian, frames[1:])
        guardian.strike_out()
        link.send("over")
        link.flush(1.0)
    posix._exit(0)


def _guard(guardian: Guardian, frames: list[tuple[Any, ...]]) -> None:
    try:
        system.adopt_orphans()
        system.be_named()
        if not guardian.begin():
            return
        guardian.obey(frames)
        guardian.stay()
        guardian.drain(_TURNS)
        guardian.link.send("tail", guardian.tail[-TAIL:])
    except Exception as error:  # nobody else is there to hear of it, and to do its work
        guardian.complain(f"its guardian failed ({error!r}): all is killed at once")
        guardian.kill_all()
