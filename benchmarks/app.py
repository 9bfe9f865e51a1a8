"""The application that the benchmarks' workers run, with the plugin or without.

``BENCH_URL`` names broker, result backend and store in one, ``BENCH_STORE`` another store;
``BENCH_PLUGIN=0``: no plugin, ``ungated``: without maintenance.
"""

from __future__ import annotations

import os
import time

from celery import Celery
from celery.app.trace import build_tracer

#: The list in Redis that gets the marks, as JSON-free text: name, monotonic seconds.
MARKS = "benchmarks-marks"

_url = os.environ.get("BENCH_URL", "redis://")
app = Celery("benchmarks", broker=_url, backend=_url, set_as_current=False)
app.conf.broker_connection_retry_on_startup = True
if "BENCH_STORE" in os.environ:
    app.conf.graceful_store = os.environ["BENCH_STORE"]


@app.task(ignore_result=True)
def mark(name: str) -> None:
    """Note the time at which the queue has been worked off up to here."""
    app.backend.client.rpush(MARKS, f"{name} {time.monotonic()}")  # type: ignore[attr-defined]


@app.task(ignore_result=True)
def pause(name: str, seconds: float) -> None:
    """Take so long, then note the time."""
    time.sleep(seconds)
    mark(name)


@app.task(ignore_result=True)
def nothing() -> None:
    """The cheapest task there is, so that any cost shows."""


@app.task
def loop(n: int) -> int:
    """A plain task with a loop."""
    for _ in range(n):
        pass
    return n


@app.task(acks_late=True, reject_on_worker_lost=True)
def loop_late(n: int) -> int:
    """The same, acknowledged as iterable tasks are."""
    for _ in range(n):
        pass
    return n


@app.task
def child(seconds: float) -> int:
    """Hold on to the child for a while; says which it is."""
    time.sleep(seconds)
    return os.getpid()


@app.task(ignore_result=True)
def look_for_leaks(mode: str) -> None:
    """Have this child look for leaked processes from now on, or no more."""
    from celery_graceful.processes import leaks

    leaks.install(app, mode, tasks_overlap=False)
    task = app.tasks["benchmarks.app.nothing"]
    task.__trace__ = build_tracer(task.name, task, app=app)  # as at the start of a child


_plugin = os.environ.get("BENCH_PLUGIN", "1")
if _plugin != "0":
    from benchmarks import runs
    from celery_graceful import Graceful, plugin

    Graceful(app)
    runs.register(app)
    if _plugin == "ungated":
        # What looks at a worker once, at its start, would bring maintenance back.
        app.steps["worker"] -= {plugin.MAINTENANCE, plugin.CHECKUP, plugin.WITHOUT}
        app.steps["consumer"].discard(plugin.GATE)
