"""What the checks examine: deployed workers and the app."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

from celery_graceful.doctor.commands.worker_command import Command
from celery_graceful.durations import parse

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file."""

    file: str
    #: From 1 on; 0: the file as a whole.
    line: int = 0


#: The place of what is in no file.
NOWHERE = Place("")


@dataclass(frozen=True, slots=True)
class Given(Generic[T]):
    """A value, and where it is written."""

    value: T
    place: Place
    #: Whether it is written there; else it is the manager's default.
    written: bool = True


class Manager(Enum):
    """What starts and stops a worker; the value is how people call it."""

    KUBERNETES = "Kubernetes"
    COMPOSE = "docker-compose"
    DOCKER = "Dockerfile"
    SYSTEMD = "systemd"
    SUPERVISORD = "supervisord"
    PROCFILE = "Procfile"
    SCRIPT = "a script"
    #: No file: the worker that runs the doctor.
    THIS = "this worker"
    #: No file either: a process of this host; its parents show what starts it.
    PROCESS = "its parent"
    #: No file either: a worker that answered.
    RUNNING = "a running worker"

    @property
    def container(self) -> bool:
        """Whether the worker is the first process of a container."""
        return self in (Manager.KUBERNETES, Manager.COMPOSE, Manager.DOCKER)


@dataclass(frozen=True, slots=True)
class Hook:
    """A command that a manager runs to stop a worker: ``preStop``, ``ExecStop``."""

    text: str
    place: Place
    #: How long it takes, as far as its ``sleep`` says.
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Probe:
    """A liveness probe that runs a command."""

    text: str
    place: Place
    #: Seconds after which it counts as failed.
    timeout: Given[float]


@dataclass(frozen=True, slots=True)
class Beside:
    """Another container of the same pod, which stops at the same moment."""

    name: str
    image: str
    place: Place
    #: Whether it delays its own end: by a hook, or since it is a native sidecar.
    outlives: bool


@dataclass(frozen=True, slots=True)
class Deployed:
    """One worker as a file deploys it."""

    manager: Manager
    #: Names it for people: ``Deployment shop-worker, container worker``.
    name: str
    #: Of the manager's entry for it.
    place: Place
    command: Command = Command("")  # noqa: RUF009  frozen
    #: The instruction of a Dockerfile that starts it.
    start_form: str = ""
    #: Its text, if that is for the image's shell.
    start_text: str = ""
    #: Seconds from the stop to SIGKILL, hooks included; ``None``: not known, or never.
    grace: Given[float] | None = None
    #: How the manager's setting for it is called, and how a value is written there.
    grace_setting: str = "the grace period"
    grace_form: str = "{seconds}"
    #: ``SIGTERM`` and so on.
    stop_signal: Given[str] | None = None
    #: The manager's setting for it, as one would write it for SIGTERM.
    stop_form: str = ""
    #: Runs before the signal, within the grace period.
    pre_stop: Hook | None = None
    #: Variables that are set; those of a value that is not known are empty.
    environment: Mapping[str, Given[str]] = field(default_factory=dict)
    #: How many there are of it.
    copies: Given[int] | None = None
    #: Whether these may be on several hosts.
    many_hosts: bool = False
    #: The manager's own settings by name, as written.
    options: Mapping[str, Given[str]] = field(default_factory=dict)
    #: Settings in a place where they are ignored.
    misplaced: tuple[Given[str], ...] = ()
    liveness: Probe | None = None
    beside: tuple[Beside, ...] = ()
    #: Folders of a container that outlive it.
    volumes: tuple[str, ...] = ()

    @property
    def seconds_to_stop(self) -> float | None:
        """Seconds from the stop signal to SIGKILL; ``None``: not known, or never."""
        if self.grace is None:
            return None
        return self.grace.value - (self.pre_stop.seconds if self.pre_stop else 0.0)

    @property
    def started_at(self) -> Place:
        """Where its command line is written, which may be another file."""
        command = self.command
        return Place(command.file, command.line) if command.line else self.place

    def variable(self, name: str) -> Given[str] | None:
        """An environment variable, if it is set."""
        return self.environment.get(name)

    def option(self, name: str, default: str = "") -> str:
        """A setting of the manager."""
        found = self.options.get(name)
        return default if found is None else found.value

    def place_of(self, name: str) -> Place:
        """Where a setting of the manager is, or would have to be."""
        found = self.options.get(name)
        return self.place if found is None else found.place


class Kind(Enum):
    """How a task takes part in a stop."""

    PLAIN = "plain"
    GRACEFUL = "graceful"
    ITERABLE = "iterable"


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """One task of the app; times in seconds, ``None`` where there is no limit."""

    name: str
    kind: Kind = Kind.PLAIN
    #: Where it is routed to by default.
    queue: str = ""
    acks_late: bool = False
    reject_on_worker_lost: bool = False
    time_limit: float | None = None
    soft_time_limit: float | None = None
    #: For iterable tasks: how long an execution may be at most. Given by the user, or derived.
    max_execution_time: float | None = None
    max_execution_time_is_given: bool = False

    @property
    def longest(self) -> float | None:
        """What a plain task may take by its limits."""
        limits = [limit for limit in (self.time_limit, self.soft_time_limit) if limit]
        return min(limits) if limits else None


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """A queue that the app declares."""

    name: str
    quorum: bool = False
    delivery_limit: int | None = None
    dead_letters: bool = False
    #: ``x-consumer-timeout``, in seconds.
    consumer_timeout: float | None = None


@dataclass(frozen=True, slots=True)
class AppFacts:
    """What the app's configuration says; times in seconds."""

    name: str = ""
    #: In front of the names of settings where they are written: ``CELERY_``; empty: ``app.conf``.
    settings_prefix: str = ""
    #: Whether ``Graceful(app)`` was called.
    plugged: bool = True
    tasks: tuple[TaskFacts, ...] = ()
    pool: str = "prefork"
    #: ``redis``, ``amqp``, ``sqs``, or the scheme of another.
    broker: str = ""
    soft_shutdown_timeout: float = 0.0
    visibility_timeout: float = 3600.0
    #: ``None``: never; also where there is no result backend.
    result_expires: float | None = None
    queues: tuple[QueueFacts, ...] = ()
    #: Whether the app says which queues there are.
    queues_are_declared: bool = False
    default_queue: str = "celery"
    #: ``redis``, ``sql``, ``sqlite``, ``memory``.
    store: str = "redis"
    #: The store as people may see it, and the file of an SQLite one.
    store_url: str = ""
    store_path: str = ""
    #: Why the store cannot be used, as far as the configuration says; empty: nothing is wrong.
    store_trouble: str = ""
    #: Why it is not reliable where it is.
    store_caveat: str = ""
    #: Certificates and keys that its client is to read, and that are not here.
    store_files_missing: tuple[str, ...] = ()
    renew_visibility: bool = True
    exempt_queues: frozenset[str] = frozenset()
    resume_queue: str | None = None
    #: What is wrong with the definitions of its tasks, with file and line.
    faults: tuple[str, ...] = ()
    #: Where its tasks yield inside ``transaction.atomic()``, with file and line.
    unsafe_yields: tuple[str, ...] = ()
    #: ``graceful_grace_period``.
    grace_period: float | None = None
    #: ``graceful_kill_margin``.
    kill_margin: float | None = None
    #: ``REMAP_SIGTERM`` of the process that asks, if that process is the worker itself.
    remap_sigterm: str | None = None

    def of_kind(self, *kinds: Kind) -> list[TaskFacts]:
        """The tasks of these kinds."""
        return [task for task in self.tasks if task.kind in kinds]

    @property
    def consumed_by_default(self) -> frozenset[str]:
        """What a worker without ``-Q`` consumes."""
        if self.queues_are_declared:
            return frozenset(queue.name for queue in self.queues)
        return frozenset({self.default_queue})


def finite(text: str) -> float | None:
    """A number as people write it; ``None`` for what is none, ``inf`` and ``1e999`` included."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def read_duration(text: str) -> float | None:
    """Seconds; ``None`` for what is no duration, or for one that never ends."""
    try:
        return parse(text.strip())
    except ValueError:
        return None
