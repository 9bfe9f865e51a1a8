"""A worker's command line: who starts it, and with which options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

#: Options that take a value, by the name used here.
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "app": ("-A", "--app"),
    "pool": ("-P", "--pool"),
    "concurrency": ("-c", "--concurrency"),
    "queues": ("-Q", "--queues"),
    "exclude_queues": ("-X", "--exclude-queues"),
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
    #: The worker is one end of a pipe, or runs in the background.
    piped: bool = False
    background: bool = False
    #: The text has a ``trap``: what it does on a signal is not known.
    traps: bool = False
    #: The text is that of a file.
    script: bool = False
    #: The worker's command as written in the text, and where it begins there.
    source: str = ""
    at: int = 0
    line: int = 0
    file: str = ""
    #: The text also runs something else that does not end by itself.
    company: bool = False

    @property
    def stays(self) -> bool:
        """Whether it stays in front of the worker and does not forward signals.

        ``bash`` replaces itself with the last command of ``bash -c``, ``dash`` does not.
        """
        quiet = not self.piped and not self.background
        if self.traps or (self.execs and quiet):
            return False
        return not (quiet and self.last and self.program == "bash" and not self.script)


@dataclass(frozen=True, slots=True)
class MultiNode:
    """A worker of ``celery multi``, with the options for it alone (``-Q:w1``)."""

    name: str
    options: Mapping[str, str] = field(default_factory=dict)


class Queues(NamedTuple):
    """The queues that a worker consumes by its command line."""

    #: By ``-Q``; ``None``: those that the app consumes by default.
    named: frozenset[str] | None = None
    #: By ``-X``.
    excluded: frozenset[str] = frozenset()
    #: A part of it is a variable: they may be any.
    any: bool = False

    def include(self, queue: str, by_default: frozenset[str]) -> bool:
        """Whether they may include a queue."""
        wanted = by_default if self.named is None else self.named
        return self.any or (queue in wanted and queue not in self.excluded)


@dataclass(frozen=True, slots=True)
class Command:
    """The command that starts a worker, in its parts."""

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
    #: ``celery multi start`` instead of ``celery worker``, and what that starts.
    multi: bool = False
    nodes: tuple[MultiNode, ...] = ()
    #: It is started in another place: ``docker run``, ``ssh``.
    elsewhere: bool = False
    #: Where its words are, if that is another file than that of its manager; 0: not known.
    file: str = ""
    line: int = 0

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
    def queues(self) -> tuple[Queues, ...]:
        """What it consumes: one answer for each worker that it starts."""
        each = self.nodes or (MultiNode(""),)
        return tuple(_queues({**self.options, **node.options}) for node in each)

    def may_consume(self, queue: str, by_default: frozenset[str]) -> bool:
        """Whether one of its workers may consume a queue, as one without ``-Q`` does by default."""
        return any(queues.include(queue, by_default) for queues in self.queues)

    def wrapper(self, program: str) -> Wrapper | None:
        """The wrapper of this name, if there is one."""
        return next((each for each in self.wrappers if each.program == program), None)


def _queues(options: Mapping[str, str]) -> Queues:
    given, excluded = options.get("queues"), options.get("exclude_queues", "")
    if _is_unknown(given or ""):
        return Queues(any=True)
    # A variable may exclude any queue, and most likely does not exclude all.
    minus = frozenset() if _is_unknown(excluded) else _names(excluded)
    return Queues(None if given is None else _names(given), minus)


def _names(listed: str) -> frozenset[str]:
    return frozenset(name.strip() for name in listed.split(",") if name.strip())


def _is_unknown(value: str) -> bool:
    """A variable of a shell, of a manager or of a template is in it."""
    return any(sign in value for sign in "$%`{<")


def same_app(one: str | None, other: str | None) -> bool:
    """Whether two values of ``-A`` may mean the same app; an unknown one may mean any."""
    if not one or not other or _is_unknown(one + other):
        return True
    first, second = _module(one), _module(other)
    shorter = min(len(first), len(second))
    return first[:shorter] == second[:shorter]


def _module(app: str) -> list[str]:
    return app.removesuffix(".py").replace("/", ".").partition(":")[0].strip(".").split(".")
