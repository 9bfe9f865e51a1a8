"""Running workers: what they answer over the broker, and what they reported to the store."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from kombu.exceptions import OperationalError

from celery_graceful._celery.message.mailbox import ask
from celery_graceful.doctor.commands.worker_command import Command
from celery_graceful.doctor.facts import NOWHERE, Deployed, Given, Manager
from celery_graceful.doctor.finding import named
from celery_graceful.errors import CursorError
from celery_graceful.maintenance.broker_replies import BROKER_TIMEOUT
from celery_graceful.maintenance.scopes import own_queues
from celery_graceful.maintenance.workers import KnownWorker, known_workers, patience
from celery_graceful.model.pace import Pace
from celery_graceful.model.run.cursor import decode
from celery_graceful.stores.base import Durability, Store
from celery_graceful.text import strict_json
from celery_graceful.text.masking import mask_text

if TYPE_CHECKING:
    from celery_graceful.runtime import Runtime

logger = logging.getLogger("celery_graceful.doctor")
#: How many runs are read from the store.
MOST_RUNS = 500


@dataclass(frozen=True, slots=True)
class Running:
    """What one worker answers to ``celery inspect graceful``; times in seconds."""

    #: Celery's node name.
    hostname: str
    #: The host it runs on, by its own name.
    host: str = ""
    app: str = ""
    namespace: str = ""
    pool: str = ""
    slots: int = 0
    queues: tuple[str, ...] = ()
    #: Versions of this package and of Celery.
    version: str = ""
    celery: str = ""
    #: ``None``: it does not know.
    grace: float | None = None
    margin: float | None = None
    grace_source: str = ""
    #: Seconds until SIGKILL, once it stops.
    seconds_left: float | None = None
    soft_shutdown_timeout: float = 0.0
    remap_sigterm: str = ""
    prefetch: int = 0
    forced: bool = False
    #: Settings on which all workers of an app have to agree, as texts.
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of running workers; times in seconds."""

    #: The longest that each task took lately.
    longest: Mapping[str, float] = field(default_factory=dict)
    #: How long an item of an iterable task takes (a high percentile).
    items: Mapping[str, float] = field(default_factory=dict)
    #: How long whole runs of iterable tasks took, or have taken so far.
    runs: Mapping[str, float] = field(default_factory=dict)
    #: Queues that some running worker consumes.
    queues: frozenset[str] = frozenset()
    workers: int = 0
    #: Those that answered over the broker.
    running: tuple[Running, ...] = ()
    #: The ``maxmemory-policy`` of a Redis store; empty: not known.
    eviction: str = ""
    #: Whether the store's data survive a restart of its server; ``None``: not known.
    persistent: bool | None = None


class NobodyAnswers(Exception):
    """Why nothing is known of running workers, in one line."""


def ask_workers(
    runtime: Runtime, queues: Collection[str] = (), *, quiet: float
) -> tuple[Running, ...]:
    """Ask the running workers of an app over the broker.

    First all workers of the broker are asked what they consume; then those that may be ours. A
    worker without the plugin would log a question that it does not know.

    Args:
        queues: what its workers consume beside the queues of the configuration, if known.
        quiet: seconds without an answer after which no more are waited for.

    Raises:
        NobodyAnswers: the broker is away, or no worker of this app answered.
    """
    put = partial(ask, runtime.app, timeout=BROKER_TIMEOUT, quiet=quiet)
    ours = own_queues(runtime).union(queues)
    try:
        consuming = put("active_queues")
        hosts = sorted({host for host, queues in consuming if ours.intersection(_names(queues))})
        answers = put("graceful", destination=hosts) if hosts else []
    except OperationalError as exc:
        raise NobodyAnswers(f"the broker does not answer: {mask_text(str(exc))}") from exc
    answered = [worker for _, answer in answers if (worker := from_answer(answer)) is not None]
    name = runtime.app.main or ""
    known = tuple(w for w in answered if w.namespace == runtime.namespace or w.app == name)
    if not known:
        raise NobodyAnswers(f"none answered within {quiet:g} s")
    return known


def _names(queues: object) -> Collection[str]:
    listed = queues if isinstance(queues, list) else []
    return {str(each.get("name")) for each in listed if isinstance(each, dict)}


def from_answer(answer: Any) -> Running | None:
    """A worker from what it answered; ``None`` if that is not enough or not valid.

    Other versions may send more, or less.
    """
    sent = answer.get("vitals") if isinstance(answer, Mapping) else None
    if not isinstance(sent, Mapping) or not sent.get("hostname"):
        return None
    known = {each.name: sent[each.name] for each in fields(Running) if each.name in sent}
    try:
        return _checked(Running(**known))
    except ValueError as exc:
        logger.warning("A worker's answer is ignored: %s", exc)
        return None


def _checked(worker: Running) -> Running:
    """Anybody may answer for a worker."""
    for each in fields(Running):
        value, kind = getattr(worker, each.name), str(each.type)
        if kind == "str":
            strict_json.text(value, each.name)
        elif kind == "int":
            strict_json.whole(value, each.name)
        elif kind == "bool":
            strict_json.flag(value, each.name)
        elif kind.startswith("float") and value is not None:
            strict_json.number(value, each.name)
    if not isinstance(worker.settings, Mapping):
        raise ValueError("settings is no mapping")
    for name, value in worker.settings.items():
        strict_json.text(value, strict_json.text(name, "a setting's name"))
    return replace(worker, queues=strict_json.names(worker.queues or (), "queues"))


def as_deployed(running: Iterable[Running]) -> list[Deployed]:
    """Running workers as the checks of files see them; those that are alike as one."""
    found = []
    for _, group in groupby(sorted(running, key=_kind), key=_kind):
        alike = list(group)
        first = alike[0]
        options = {"pool": first.pool, "queues": ",".join(first.queues)}
        variables = {"REMAP_SIGTERM": Given(first.remap_sigterm, NOWHERE)}
        found.append(
            Deployed(
                Manager.RUNNING,
                f"{named([each.hostname for each in alike])} (running)",
                NOWHERE,
                Command("", words=("celery", "worker"), options=options),
                grace=None if first.grace is None else Given(first.grace, NOWHERE),
                grace_setting=f"the grace period ({first.grace_source})",
                grace_form="a grace period of {seconds} s",
                environment=variables if first.remap_sigterm else {},
            )
        )
    return found


def _kind(worker: Running) -> tuple[Any, ...]:
    known = (worker.pool, worker.queues, worker.remap_sigterm, worker.grace_source)
    return (*known, worker.grace is None, worker.grace or 0.0)


def look_around(
    runtime: Runtime, store: Store | None = None, *, most_runs: int = MOST_RUNS
) -> Seen:
    """Read from the store what workers reported, and how long runs took.

    Args:
        store: by default the process's own.
        most_runs: how many runs to read; 0 for none.

    Raises:
        StoreError: the store does not answer.
    """
    store = runtime.store if store is None else store
    known, newest, now = known_workers(store), patience(runtime.settings), time.time()
    recent = [member for member in known if member.age <= newest]
    durability = getattr(store, "durability", Durability)()
    runs: dict[str, float] = {}
    items: dict[str, float] = {}
    live = store.live(most_runs)
    for key, record, _ in (*live, *store.ended(most_runs - len(live))):
        if record.started_at:
            _raise(runs, key.task, (record.end or now) - record.started_at)
        try:
            pace = decode(record.checkpoint).pace if record.checkpoint else ()
        except CursorError:  # a worker reports it
            continue
        if pace:  # a short run stores none
            _raise(items, key.task, Pace(pace).p95)
    return Seen(
        longest=_longest(known),
        runs=runs,
        items=items,
        queues=frozenset(q for member in recent if member.report for q in member.report.queues),
        workers=len(recent),
        eviction=durability.eviction,
        persistent=durability.persistent,
    )


def _longest(known: Iterable[KnownWorker]) -> dict[str, float]:
    """By task; reports of workers that ended lately count as well."""
    found: dict[str, float] = {}
    for report in (member.report for member in known if member.report is not None):
        running = {busy.task: busy.seconds for busy in report.busy}
        for task, seconds in (*report.longest.items(), *running.items()):
            _raise(found, task, seconds)
    return found


def _raise(found: dict[str, float], task: str, seconds: float) -> None:
    found[task] = max(found.get(task, 0.0), seconds)
