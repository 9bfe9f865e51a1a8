"""GD8xx: the store of runs, and queues that nobody takes from."""

from __future__ import annotations

from collections.abc import Iterator

from celery_graceful.doctor.checks.base import Check, Scene, Sight, named, per_worker
from celery_graceful.doctor.facts import Deployed, Kind, Manager
from celery_graceful.doctor.finding import Severity

_FIX = 'app.conf.graceful_store = "redis://…", or a database that all workers reach'

_CORRECT = "the URL and options of the setting that is named"


def _has_runs(scene: Scene) -> bool:
    return bool(scene.app.of_kind(Kind.ITERABLE))


def one_host(scene: Scene) -> Iterator[Sight]:
    """Workers that do not see each other's runs."""
    app = scene.app
    if app.store not in ("sqlite", "memory") or not _has_runs(scene):
        return
    running = sorted({worker.host for worker in scene.seen.running if worker.host})
    if len(running) > 1:
        what = f"the store is {app.store_url}, and workers run on {named(running)}"
        yield Sight(what, _FIX, setting="graceful_store")
        return
    hosts = [each for each in scene.workers if each.many_hosts]
    if hosts:
        yield Sight(
            f"the store is {app.store_url}, and {hosts[0].name} runs"
            f" {hosts[0].copies.value if hosts[0].copies else 2} times",
            _FIX,
            setting="graceful_store",
        )
    elif app.store == "memory" and any(w.copies and w.copies.value > 1 for w in scene.workers):
        what = f"the store is {app.store_url}, which lives in one process, and there are several"
        yield Sight(what, _FIX, setting="graceful_store")


def in_container(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """The store goes with the container."""
    app = scene.app
    if app.store != "sqlite" or not worker.manager.container or not _has_runs(scene):
        return
    if worker.manager is Manager.DOCKER:
        return  # which folders outlive the container is for its starter to say
    path = app.store_path
    kept = any(path.startswith(f"{folder.rstrip('/')}/") for folder in worker.volumes)
    if not kept and not (worker.volumes and not path.startswith("/")):
        what = f"{worker.name}: the store is {app.store_url}, a file inside the container"
        yield Sight(what, _FIX, worker.place)


def resume_queue(scene: Scene) -> Iterator[Sight]:
    """Resumed runs wait where nobody looks."""
    queue = scene.app.resume_queue
    if queue is None or not _has_runs(scene) or queue in scene.seen.queues:
        return
    if (scene.workers or scene.seen.workers) and not _consumed(queue, scene):
        yield Sight(
            f"graceful_resume_queue is {queue!r}, and no worker known here consumes it",
            f"celery -A … worker -Q {scene.app.default_queue},{queue}",
            setting="graceful_resume_queue",
        )


def exempt_queues(scene: Scene) -> Iterator[Sight]:
    """An exempt queue that does not exist."""
    if not (scene.workers or scene.seen.workers):
        return
    known = scene.seen.queues | {queue.name for queue in scene.app.queues}
    known |= {task.queue for task in scene.app.tasks}
    missing = sorted(q for q in scene.app.exempt_queues - known if not _consumed(q, scene))
    if missing:
        yield Sight(
            f"graceful_maintenance_exempt_queues names {named(missing)}, which no worker known here"
            " consumes",
            "the name as in task_queues and -Q",
            setting="graceful_maintenance_exempt_queues",
        )


def evicts(scene: Scene) -> Iterator[Sight]:
    """A Redis that deletes records when its memory runs out."""
    policy = scene.seen.eviction
    if policy not in ("", "noeviction"):
        yield from _of_store(
            scene,
            f"has maxmemory-policy {policy}: it deletes records of runs when its memory runs out",
            "maxmemory-policy noeviction, or a Redis of its own for app.conf.graceful_store",
        )


def not_persistent(scene: Scene) -> Iterator[Sight]:
    """A Redis that begins empty after a restart."""
    if scene.seen.persistent is False:
        yield from _of_store(
            scene,
            "has neither snapshots nor an append-only file: it is empty after a restart",
            "appendonly yes, or save 60 1; or another store in app.conf.graceful_store",
        )


def unusable(scene: Scene) -> Iterator[Sight]:
    """A store that no worker can connect to."""
    if scene.app.store_trouble:
        yield Sight(scene.app.store_trouble, _CORRECT, setting="graceful_store")


def files_missing(scene: Scene) -> Iterator[Sight]:
    """Certificates or keys that are not on this host."""
    missing = scene.app.store_files_missing
    if missing:
        yield Sight(
            f"{scene.app.store_url} needs {named(missing)}, not to be found here",
            "the path of the file as workers see it, or a volume with it",
            setting="graceful_store",
        )


def one_of_several(scene: Scene) -> Iterator[Sight]:
    """The store is the first of several brokers."""
    if scene.app.store_caveat and _has_runs(scene):
        yield Sight(scene.app.store_caveat, _FIX, setting="graceful_store")


def _of_store(scene: Scene, what: str, better: str) -> Iterator[Sight]:
    if _has_runs(scene):
        yield Sight(f"the store {scene.app.store_url} {what}", better, setting="graceful_store")


def _consumed(queue: str, scene: Scene) -> bool:
    default = scene.app.consumed_by_default
    return any(worker.command.may_consume(queue, default) for worker in scene.workers)


CHECKS = (
    Check(
        "GD801",
        Severity.ERROR,
        "A store for one host (or one process), with workers on several",
        "A worker does not see the runs of the others: a run whose worker dies is not taken up, a"
        " second delivery runs at the same time, and maintenance reaches one host.",
        "`graceful_store` on Redis or on a database server",
        one_host,
    ),
    Check(
        "GD802",
        Severity.ERROR,
        "An SQLite store inside a container",
        "The file goes with the container: each deploy forgets the runs that crashed, wait or are"
        " paused, and the maintenance mode.",
        "`graceful_store` on Redis or on a database server; or a volume",
        per_worker(in_container),
    ),
    Check(
        "GD803",
        Severity.WARNING,
        "`graceful_resume_queue` that no worker consumes",
        "Every run that is handed over waits there until somebody consumes it.",
        "`-Q` with this queue",
        resume_queue,
    ),
    Check(
        "GD804",
        Severity.WARNING,
        "An exempt queue that no worker consumes",
        "It is a typing error most of the time: the queue that was meant stops in maintenance.",
        "the right name in `graceful_maintenance_exempt_queues`",
        exempt_queues,
    ),
    Check(
        "GD805",
        Severity.WARNING,
        "A Redis store whose `maxmemory-policy` is not `noeviction`",
        "When its memory runs out it deletes keys: records of runs, their quarantined items, the"
        " maintenance mode. A run under way writes its record back; a paused one is gone.",
        "`maxmemory-policy noeviction`, or a Redis of its own in `graceful_store`",
        evicts,
    ),
    Check(
        "GD806",
        Severity.WARNING,
        "A Redis store without persistence",
        "After a restart it is empty: paused runs, summaries, quarantined items and the maintenance"
        " mode are gone. Runs under way write their records back.",
        "`appendonly yes`, or `save 60 1`",
        not_persistent,
    ),
    Check(
        "GD807",
        Severity.ERROR,
        "A store whose URL or options cannot be used",
        "Workers run plain tasks only: no iterable task can start, and maintenance reaches nobody.",
        "the URL and options that Celery itself connects with, or `graceful_store` and"
        " `graceful_store_options`",
        unusable,
    ),
    Check(
        "GD808",
        Severity.ERROR,
        "Several brokers, and no `graceful_store`",
        "Runs are kept in the first of them. While that is away, messages travel by the others, and"
        " no run can start, save or be rescued: what is promised of runs and of maintenance needs a"
        " store of its own.",
        "`graceful_store` on one Redis (or Sentinel, or a cluster) or on a database server",
        one_of_several,
    ),
    Check(
        "GD809",
        Severity.WARNING,
        "A certificate or key of the store that is not on this host",
        "Where workers do not find it either they run plain tasks at most: nothing connects to the"
        " store.",
        "the right path in `broker_use_ssl`, `redis_backend_use_ssl` or `graceful_store_options`",
        files_missing,
    ),
)
