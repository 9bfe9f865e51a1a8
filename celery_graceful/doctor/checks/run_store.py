"""GD8xx: the store of runs, and queues that no worker consumes."""

from __future__ import annotations

from celery_graceful.doctor.checks.check import Facts, Problem, Problems, app_check
from celery_graceful.doctor.checks.worker_view import WorkerView, worker_check
from celery_graceful.doctor.facts import Manager
from celery_graceful.doctor.finding import ERROR, WARNING, named

_STORE = "graceful_store"
_FIX = 'app.conf.graceful_store = "redis://…", or a database that all workers reach'


@app_check(
    "GD801",
    ERROR,
    "A store for one host (or one process), with workers on several",
    why="A worker does not see the runs of the others: a run whose worker dies is not resumed, a"
    " second delivery runs at the same time, and maintenance reaches one host.",
    fix="`graceful_store` on Redis or on a database server",
)
def one_host(facts: Facts) -> Problems:
    app = facts.app
    if app.store not in ("sqlite", "memory") or not facts.has_runs:
        return
    hosts = sorted({worker.host for worker in facts.seen.running if worker.host})
    spread = [each for each in facts.workers if each.many_hosts]
    what, store = "", f"the store is {app.store_url}"
    if len(hosts) > 1:
        what = f"{store}, and workers run on {named(hosts)}"
    elif spread:
        copies = spread[0].copies.value if spread[0].copies else 2
        what = f"{store}, and {spread[0].name} runs {copies} times"
    elif app.store == "memory" and any(w.copies and w.copies.value > 1 for w in facts.workers):
        what = f"{store}, which lives in one process, and there are several"
    if what:
        yield Problem(what, _FIX, setting=_STORE)


@worker_check(
    "GD802",
    ERROR,
    "An SQLite store inside a container",
    why="The file is deleted with the container: each deploy loses the runs that crashed, wait or"
    " are paused, and the maintenance mode.",
    fix="`graceful_store` on Redis or on a database server; or a volume",
)
def in_container(view: WorkerView) -> Problems:
    app, worker = view.app, view.worker
    # Which folders outlive a container of an image is not in its Dockerfile.
    contained = worker.manager.container and worker.manager is not Manager.DOCKER
    if app.store != "sqlite" or not contained or not view.facts.has_runs:
        return
    path = app.store_path
    kept = any(path.startswith(f"{folder.rstrip('/')}/") for folder in worker.volumes)
    if not kept and not (worker.volumes and not path.startswith("/")):
        what = f"the store is {app.store_url}, a file inside the container"
        yield Problem(what, _FIX, worker.place)


@app_check(
    "GD803",
    WARNING,
    "`graceful_resume_queue` that no worker consumes",
    why="Every interrupted run waits there until a worker consumes it.",
    fix="`-Q` with this queue",
)
def resume_queue(facts: Facts) -> Problems:
    queue, known = facts.app.resume_queue, facts.workers or facts.seen.workers
    if queue is None or not facts.has_runs or queue in facts.seen.queues or not known:
        return
    if not facts.consumes(queue):
        yield Problem(
            f"graceful_resume_queue is {queue!r}, and no worker known here consumes it",
            f"celery -A … worker -Q {facts.app.default_queue},{queue}",
            setting="graceful_resume_queue",
        )


@app_check(
    "GD804",
    WARNING,
    "An exempt queue that no worker consumes",
    why="Most of the time it is a typing error: the queue that was meant stops in maintenance.",
    fix="the right name in `graceful_maintenance_exempt_queues`",
)
def exempt_queues(facts: Facts) -> Problems:
    if not (facts.workers or facts.seen.workers):
        return
    known = facts.seen.queues | {queue.name for queue in facts.app.queues}
    known |= {task.queue for task in facts.app.tasks}
    missing = sorted(q for q in facts.app.exempt_queues - known if not facts.consumes(q))
    if missing:
        yield Problem(
            f"graceful_maintenance_exempt_queues names {named(missing)}, which no worker known here"
            " consumes",
            "the name as in task_queues and -Q",
            setting="graceful_maintenance_exempt_queues",
        )


@app_check(
    "GD805",
    WARNING,
    "A Redis store whose `maxmemory-policy` is not `noeviction`",
    why="When its memory runs out it deletes keys: records of runs, their quarantined items, the"
    " maintenance mode. An active run writes its record again; a paused one is lost.",
    fix="`maxmemory-policy noeviction`, or a Redis of its own in `graceful_store`",
)
def evicts(facts: Facts) -> Problems:
    policy = facts.seen.eviction
    if policy not in ("", "noeviction") and facts.has_runs:
        yield Problem(
            f"the store {facts.app.store_url} has maxmemory-policy {policy}: it deletes records of"
            " runs when its memory runs out",
            "maxmemory-policy noeviction, or a Redis of its own for app.conf.graceful_store",
            setting=_STORE,
        )


@app_check(
    "GD806",
    WARNING,
    "A Redis store without persistence",
    why="After a restart it is empty: paused runs, summaries, quarantined items and the maintenance"
    " mode are lost. Active runs write their records again.",
    fix="`appendonly yes`, or `save 60 1`",
)
def not_persistent(facts: Facts) -> Problems:
    if facts.seen.persistent is False and facts.has_runs:
        yield Problem(
            f"the store {facts.app.store_url} has neither snapshots nor an append-only file: it is"
            " empty after a restart",
            "appendonly yes, or save 60 1; or another store in app.conf.graceful_store",
            setting=_STORE,
        )


@app_check(
    "GD807",
    ERROR,
    "A store whose URL or options cannot be used",
    why="Workers run plain tasks only: no iterable task can start, and maintenance has no effect.",
    fix="the URL and options that Celery itself connects with, or `graceful_store` and"
    " `graceful_store_options`",
)
def unusable(facts: Facts) -> Problems:
    if facts.app.store_trouble:
        fix = "the URL and options of the setting that is named"
        yield Problem(facts.app.store_trouble, fix, setting=_STORE)


@app_check(
    "GD808",
    ERROR,
    "Several brokers, and no `graceful_store`",
    why="Runs are stored in the first of them. While that is away, messages travel by the others,"
    " and no run can start, save or be rescued: the guarantees for runs and maintenance need a"
    " separate store.",
    fix="`graceful_store` on one Redis (or Sentinel, or a cluster) or on a database server",
)
def one_of_several(facts: Facts) -> Problems:
    if facts.app.store_caveat and facts.has_runs:
        yield Problem(facts.app.store_caveat, _FIX, setting=_STORE)


@app_check(
    "GD809",
    WARNING,
    "A certificate or key of the store that is not on this host",
    why="Where workers do not find it either, they run plain tasks at most: nothing connects to the"
    " store.",
    fix="the right path in `broker_use_ssl`, `redis_backend_use_ssl` or `graceful_store_options`",
)
def files_missing(facts: Facts) -> Problems:
    missing = facts.app.store_files_missing
    if missing:
        what = f"{facts.app.store_url} needs {named(missing)}, not found here"
        yield Problem(
            what, "the path of the file as workers see it, or a volume with it", setting=_STORE
        )
