"""A worker's command line: who starts it, and with which options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["FLAGS", "OPTIONS", "Command", "Shell", "Wrapper", "same_app"]

#: Options that take a value, by the name used here.
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "app": ("-A", "--app"),
    "pool": ("-P", "--pool"),
    "concurrency": ("-c", "--concurrency"),
    "queues": ("-Q", "--queues"),
    "hostname": ("-n", "--hostname"),
    "time_limit": ("--time-limit",),
    "soft_time_limit": ("--soft-time-limit",),
    "optimization": ("-O", "--optimization"),
    "autoscale": ("--autoscale",),
}
FLAGS: Mapping[str, tuple[str, ...]] = {
    "detach": ("-D", "--detach"),
    "beat": ("-B", "--beat"),
    "purge": ("--purge", "--discard"),
}


@dataclass(frozen=True, slots=True)
class Wrapper:
    """A program that starts the next one: ``tini``, ``su``, an entry script."""

    program: str
    options: tuple[str, ...] = ()

    def has(self, *options: str) -> bool:
        """Whether one of these options is given; short ones may be joined (``-vg``)."""
        short = [name[1] for name in options if len(name) == 2]
        return any(
            given in options
            or (given[:1] == "-" != given[1:2] and any(s in given[1:] for s in short))
            for given in self.options
        )


@dataclass(frozen=True, slots=True)
class Shell:
    """A shell that runs the worker from a text."""

    program: str
    #: It is replaced by the worker.
    execs: bool = False
    #: Nothing follows the worker in the text.
    last: bool = True
    #: The worker is one end of a pipe, or is put into the background.
    piped: bool = False
    background: bool = False
    #: The text has a ``trap``: what it does on a signal cannot be told.
    traps: bool = False

    @property
    def stays(self) -> bool:
        """Whether it stays in front of the worker and keeps signals to itself.

        ``bash`` gives its place to the last command by itself, ``dash`` does not.
        """
        if self.traps or (self.execs and not self.piped and not self.background):
            return False
        quiet = self.last and not self.piped and not self.background
        return not (quiet and self.program == "bash")


@dataclass(frozen=True, slots=True)
class Command:
    """The command that starts a worker, taken apart."""

    text: str
    #: From ``celery`` on; empty when this is no Celery worker.
    words: tuple[str, ...] = ()
    #: Outermost first.
    wrappers: tuple[Wrapper, ...] = ()
    shells: tuple[Shell, ...] = ()
    #: Set on the command line itself, in front of the program.
    environment: Mapping[str, str] = field(default_factory=dict)
    #: Values of :data:`OPTIONS`, and names of :data:`FLAGS` that are set.
    options: Mapping[str, str] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()
    #: ``celery multi start`` instead of ``celery worker``.
    multi: bool = False

    @property
    def is_worker(self) -> bool:
        """Whether it starts a Celery worker."""
        return bool(self.words)

    @property
    def supervises(self) -> bool:
        """Whether it starts supervisord, which may start workers."""
        return not self.words and self.wrapper("supervisord") is not None

    @property
    def detaches(self) -> bool:
        """Whether the worker leaves its starter: ``--detach``, ``celery multi``."""
        return self.multi or "detach" in self.flags

    @property
    def queues(self) -> tuple[str, ...] | None:
        """What ``-Q`` names; ``None``: it is not given."""
        given = self.options.get("queues")
        return None if given is None else tuple(q.strip() for q in given.split(",") if q.strip())

    def wrapper(self, program: str) -> Wrapper | None:
        """The wrapper of this name, if there is one."""
        return next((each for each in self.wrappers if each.program == program), None)


def same_app(one: str | None, other: str | None) -> bool:
    """Whether two values of ``-A`` may mean the same app; one that is not known may mean any."""
    if not one or not other or "$" in one + other:
        return True
    first, second = _module(one), _module(other)
    shorter = min(len(first), len(second))
    return first[:shorter] == second[:shorter]


def _module(app: str) -> list[str]:
    return app.removesuffix(".py").replace("/", ".").partition(":")[0].strip(".").split(".")
