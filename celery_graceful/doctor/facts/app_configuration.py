"""The facts of an app: its configuration, read once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from celery_graceful.doctor.facts import AppFacts, Kind, QueueFacts, TaskFacts
from celery_graceful.durations import parse
from celery_graceful.errors import SettingsError
from celery_graceful.execution.run_task import RunTask
from celery_graceful.execution.stopping.limits import SHARE_OF_TIME_LIMIT
from celery_graceful.runtime import Runtime, runtime_of
from celery_graceful.tasks.definitions import faults_in
from celery_graceful.tasks.graceful import GracefulTask
from celery_graceful.tasks.yields_in_atomic import unsafe_yields

if TYPE_CHECKING:
    from celery import Celery

#: What ``Graceful(app)`` adds to the worker.
STEP = "celery_graceful.worker.step:GracefulStep"

#: Broker URLs by the kind of broker behind them.
_BROKERS = {
    "redis": "redis",
    "rediss": "redis",
    "sentinel": "redis",
    "redis+socket": "redis",
    "valkey": "redis",
    "valkeys": "redis",
    "amqp": "amqp",
    "amqps": "amqp",
    "pyamqp": "amqp",
    "librabbitmq": "amqp",
    "confluentkafka": "kafka",
}
#: Seconds for which a delivered message is hidden, by kind of broker.
_VISIBILITY = {"redis": 3600.0, "sqs": 1800.0}


def app_facts(app: Celery, *, environ: Mapping[str, str] | None = None) -> AppFacts:
    """Read what the checks want to know of an app; connects to nothing.

    Args:
        app: a Celery app whose tasks are loaded.
        environ: the environment, if the process that asks is the worker itself.

    Raises:
        SettingsError: a ``graceful_*`` setting is wrong.
    """
    runtime = runtime_of(app)
    conf, settings = app.conf, runtime.settings
    broker = _broker(conf)
    tasks = tuple(_task(task, runtime) for task in _tasks(app))
    visibility = (conf.broker_transport_options or {}).get("visibility_timeout")
    place = _store(runtime)
    return AppFacts(
        name=runtime.namespace,
        settings_prefix=_prefix(getattr(app, "namespace", None)),
        plugged=any(_named(step) == STEP for step in app.steps["worker"]),
        tasks=tasks,
        pool=str(conf.worker_pool or "prefork"),
        broker=broker,
        soft_shutdown_timeout=float(conf.get("worker_soft_shutdown_timeout") or 0),
        visibility_timeout=float(visibility or _VISIBILITY.get(broker, 3600.0)),
        result_expires=_seconds(conf.result_expires) if conf.result_backend else None,
        queues=(*(_queue(queue, conf) for queue in _queues(app)), *_made_quorum(conf, tasks)),
        queues_are_declared=bool(conf.task_queues),
        default_queue=str(conf.task_default_queue),
        **place,
        renew_visibility=settings.renew_visibility,
        exempt_queues=settings.maintenance_exempt_queues,
        resume_queue=settings.resume_queue,
        faults=tuple(faults_in(app)),
        unsafe_yields=tuple(
            found
            for task in _tasks(app)
            if isinstance(task, RunTask)
            for found in unsafe_yields(task)
        ),
        grace_period=settings.grace_period,
        kill_margin=settings.kill_margin,
        remap_sigterm=None if environ is None else environ.get("REMAP_SIGTERM"),
    )


def _prefix(namespace: str | None) -> str:
    """What ``config_from_object(…, namespace="CELERY")`` puts in front of each setting."""
    return f"{namespace.upper().rstrip('_')}_" if namespace else ""


def _named(step: Any) -> str:
    return step if isinstance(step, str) else f"{step.__module__}:{step.__qualname__}"


def _tasks(app: Celery) -> list[Any]:
    """The user's tasks; Celery's own are short."""
    return [task for name, task in sorted(app.tasks.items()) if not name.startswith("celery.")]


def _task(task: Any, runtime: Runtime) -> TaskFacts:
    conf = task.app.conf
    hard = _first(task.time_limit, conf.task_time_limit)
    soft = _first(task.soft_time_limit, conf.task_soft_time_limit)
    kind = Kind.PLAIN
    if isinstance(task, RunTask):
        kind = Kind.ITERABLE
    elif isinstance(task, GracefulTask):
        kind = Kind.GRACEFUL
    execution, given = None, False
    if kind is Kind.ITERABLE:
        execution, given = _execution_time(task, runtime, hard, soft)
    return TaskFacts(
        name=task.name,
        kind=kind,
        queue=_routed_to(task),
        acks_late=bool(_first(task.acks_late, conf.task_acks_late)),
        reject_on_worker_lost=bool(
            _first(task.reject_on_worker_lost, conf.task_reject_on_worker_lost)
        ),
        time_limit=hard,
        soft_time_limit=soft,
        max_execution_time=execution,
        max_execution_time_is_given=given,
    )


def _routed_to(task: Any) -> str:
    """The queue by default; asked for without making queues, as ``Router.route`` would."""
    queue = getattr(task, "queue", None)
    if not queue:
        route = task.app.amqp.router.lookup_route(task.name, (), {}, {}, task)
        queue = route.get("queue") if isinstance(route, Mapping) else route
    return str(getattr(queue, "name", queue) or task.app.conf.task_default_queue)


def _execution_time(
    task: Any, runtime: Runtime, hard: float | None, soft: float | None
) -> tuple[float | None, bool]:
    """How long an execution may be, and whether that is configured; 0 means without limit."""
    own = getattr(task, "max_execution_time", None)
    longest = runtime.settings.max_execution_time if own is None else parse(own)
    if longest is not None:
        return longest or None, True
    limits = [limit for limit in (hard, soft) if limit]
    return (SHARE_OF_TIME_LIMIT * min(limits), False) if limits else (None, False)


def _first(own: Any, setting: Any) -> Any:
    return setting if own is None else own


def _seconds(value: Any) -> float | None:
    if not value:
        return None
    return float(value.total_seconds() if hasattr(value, "total_seconds") else value)


def _broker(conf: Any) -> str:
    url = conf.broker_read_url or conf.broker_url or "amqp://"
    first = url[0] if isinstance(url, (list, tuple)) and url else url
    scheme = str(first).split(";")[0].partition("://")[0].lower()
    return _BROKERS.get(scheme, scheme)


def _queues(app: Celery) -> Iterable[Any]:
    declared = app.conf.task_queues or ()
    if isinstance(declared, Mapping):
        return list(app.amqp.queues.values())
    return [queue for queue in declared if hasattr(queue, "name")]


def _made_quorum(conf: Any, tasks: Iterable[TaskFacts]) -> Iterator[QueueFacts]:
    """Quorum queues that Celery makes by itself where the app declares none."""
    if conf.task_queues:
        return
    default = str(conf.task_default_queue)
    if conf.get("task_default_queue_type") == "quorum":
        yield QueueFacts(default, quorum=True)
    if conf.get("task_create_missing_queue_type") == "quorum" and conf.task_create_missing_queues:
        for name in sorted({task.queue for task in tasks} - {default}):
            yield QueueFacts(name, quorum=True)


def _queue(queue: Any, conf: Any) -> QueueFacts:
    arguments = queue.queue_arguments or {}
    kind = arguments.get("x-queue-type", conf.get("task_default_queue_type"))
    timeout = arguments.get("x-consumer-timeout")
    return QueueFacts(
        name=queue.name,
        quorum=kind == "quorum",
        delivery_limit=arguments.get("x-delivery-limit"),
        dead_letters="x-dead-letter-exchange" in arguments,
        consumer_timeout=None if timeout is None else float(timeout) / 1000,
    )


def _store(runtime: Runtime) -> dict[str, Any]:
    """What the facts say of the store, which may not be usable."""
    try:
        url = runtime.store_url
        found = {
            "store": _store_kind(url),
            "store_url": runtime.store_address,
            "store_path": _store_path(url),
            "store_caveat": runtime.store_caveat,
        }
    except SettingsError as exc:  # broker or result backend, from which it is derived
        return {"store": "redis", "store_trouble": str(exc)}
    try:
        runtime.store  # noqa: B018  made, and not connected
        files = runtime.store_files()
    except SettingsError as exc:
        return {**found, "store_trouble": str(exc)}
    missing = tuple(file for file in files if not os.path.isfile(file))
    return {**found, "store_files_missing": missing}


def _store_kind(url: str) -> str:
    scheme = url.partition("://")[0].lower()
    if scheme == "django":
        from celery_graceful.stores.sql.django_alias import sqlite_file

        return "sql" if sqlite_file(url) is None else "sqlite"
    if scheme.startswith("sqlite"):
        return "sqlite"
    if scheme in ("memory", "") or url.startswith("memory:"):
        return "memory"
    redis = _BROKERS.get(scheme.removesuffix("+cluster")) == "redis" or scheme == "unix"
    return "redis" if redis else "sql"


def _store_path(url: str) -> str:
    """The file of an SQLite store; empty for any other."""
    if _store_kind(url) != "sqlite":
        return ""
    if url.lower().startswith("django://"):
        from celery_graceful.stores.sql.django_alias import sqlite_file

        return sqlite_file(url) or ""
    return url.partition("://")[2].removeprefix("/").partition("?")[0]
