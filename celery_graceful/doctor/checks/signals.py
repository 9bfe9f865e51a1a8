"""GD2xx: which signal stops a worker, and whom it reaches."""

from __future__ import annotations

import re
from collections.abc import Iterator

from celery_graceful.doctor.checks.base import Check, Scene, Sight, named, per_worker, tasks_of
from celery_graceful.doctor.checks.lines import with_variable
from celery_graceful.doctor.checks.period import knows
from celery_graceful.doctor.checks.stops import (
    QUIT,
    group_cause,
    kills_by_group,
    remap,
    signal_of,
)
from celery_graceful.doctor.facts import Deployed, Kind, Manager
from celery_graceful.doctor.finding import Severity

_HANGUP = re.compile(r"(?m)^(?:(?!\bkill\b).)*\bkill\b.*-(?:s\s*)?(?:SIG)?(?:HUP\b|1\b)")
_SHUTDOWN = re.compile(r"(?m)^(?:(?!\bcontrol\b).)*\bcontrol\b.*\bshutdown\b")
_DESTINATION = re.compile(r"(?:^|\s)(?:-d|--destination)\b")
_BY_NAME = re.compile(r"\b(?:pkill|killall)\b")
_OLDEST = re.compile(r"(?m)^(?:(?!\bpkill\b).)*\bpkill\b.*(?:-o\b|--oldest|-P\b|--parent)")
_TINI_GROUP = "TINI_KILL_PROCESS_GROUP"
#: Signals that Celery takes for a stop.
_STOPS = ("SIGTERM", QUIT, "SIGINT")

_GROUP_WHY = (
    "The pool's children get SIGTERM as well. In a worker that does not know its grace period they"
    " die of it: plain tasks are cut off, and their messages acknowledged, with acks_late too. In"
    " one that does, children wait for it to cut tasks off; programs that tasks have started end."
)


def _group(worker: Deployed, scene: Scene, cause: str, fix: str, key: str = "") -> Iterator[Sight]:
    """One way in which a signal reaches all processes."""
    found = group_cause(worker)
    if found is not None and found.startswith(cause) and kills_by_group(worker, scene.app):
        place = worker.place_of(key) if key else worker.started_at
        if key and (given := worker.variable(key)) is not None:
            place = given.place
        what = f"{worker.name}: {found} sends {signal_of(worker)}" + " to all processes"
        # The plugin keeps other tasks alive, but not children that are just starting one.
        plain = tasks_of(worker, scene.app, Kind.PLAIN)
        yield Sight(what, fix, place, severity=None if plain else Severity.WARNING)


def kill_mode(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """systemd signals the whole control group."""
    return _group(worker, scene, "KillMode", "KillMode=mixed", "KillMode")


def stop_as_group(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """supervisord signals the process group."""
    fix = "stopasgroup=false and killasgroup=true"
    return _group(worker, scene, "stopasgroup", fix, "stopasgroup")


def dumb_init(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """dumb-init signals its session."""
    fix = "DUMB_INIT_SETSID=0 in its environment; or dumb-init --single-child"
    return _group(worker, scene, "dumb-init", fix)


def tini(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """tini signals the process group."""
    yield from _group(worker, scene, "tini", "tini without -g")
    yield from _group(worker, scene, "TINI", "no TINI_KILL_PROCESS_GROUP", _TINI_GROUP)


def procfile(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """honcho, foreman and Heroku signal all processes."""
    if not knows(worker, scene.app):
        name = worker.name.removeprefix("process ")
        start = with_variable(worker.command, "GRACEFUL_GRACE_PERIOD=5s")
        line = f"{name}: {start}" if worker.manager is Manager.PROCFILE else start
        yield from _group(worker, scene, "the Procfile", line)


def not_rejected(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """Late acks do not help against a signal to the group."""
    if not kills_by_group(worker, scene.app) or knows(worker, scene.app):
        return
    late = [
        task.name
        for task in tasks_of(worker, scene.app, Kind.PLAIN)
        if task.acks_late and not task.reject_on_worker_lost
    ]
    if late:
        yield Sight(
            f"{named(late)}: acks_late without reject_on_worker_lost, and {group_cause(worker)}"
            f" ({worker.name}) kills the processes they run in",
            "app.conf.task_reject_on_worker_lost = True",
            setting="task_reject_on_worker_lost",
        )


def wrong_signal(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """The manager stops with a signal that is no stop."""
    signal = signal_of(worker)
    if worker.stop_signal is not None and signal not in _STOPS:
        does = "starts the worker anew" if signal == "SIGHUP" else "does not stop the worker"
        yield Sight(
            f"{worker.name}: it is stopped with {signal}, which {does}",
            worker.stop_form,
            worker.stop_signal.place,
        )


def hangup(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """A stop hook sends SIGHUP."""
    if worker.pre_stop is not None and _HANGUP.search(worker.pre_stop.text):
        fix = "ExecStop=" if worker.manager is Manager.SYSTEMD else "no preStop, or a sleep"
        what = f"{worker.name}: the stop hook sends SIGHUP ({worker.pre_stop.text})"
        yield Sight(what, fix, worker.pre_stop.place)


def stops_all(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """A stop hook ends the workers of all hosts."""
    hook = worker.pre_stop
    if hook and _SHUTDOWN.search(hook.text) and not _DESTINATION.search(hook.text):
        yield Sight(
            f"{worker.name}: the stop hook ends every worker of the app ({hook.text})",
            "no hook: SIGTERM does it; or control shutdown -d celery@$HOSTNAME",
            hook.place,
        )


def by_name(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """A stop hook signals by name."""
    hook = worker.pre_stop
    if hook and _BY_NAME.search(hook.text) and not _OLDEST.search(hook.text):
        yield Sight(
            f"{worker.name}: the stop hook signals processes by their name ({hook.text})",
            "no hook: the manager sends SIGTERM to the main process",
            hook.place,
        )


def no_kill(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """systemd sends nothing at all."""
    none = worker.manager is Manager.SYSTEMD and worker.option("KillMode") == "none"
    if none and worker.pre_stop is None:
        what = f"{worker.name}: KillMode=none stops nothing"
        yield Sight(what, "KillMode=mixed", worker.place_of("KillMode"))


def remapped_wrongly(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """Celery knows one value of REMAP_SIGTERM."""
    found = remap(worker, scene.app)
    if found is not None and found.value != QUIT and "$" not in found.value:
        yield Sight(
            f"{worker.name}: REMAP_SIGTERM is {found.value!r}",
            "REMAP_SIGTERM=SIGQUIT",
            found.place,
            setting="" if found.place.file else "REMAP_SIGTERM",
        )


CHECKS = (
    Check(
        "GD201",
        Severity.ERROR,
        "systemd with `KillMode=control-group`, which is its default (a warning without plain"
        " tasks)",
        _GROUP_WHY,
        "`KillMode=mixed`",
        per_worker(kill_mode),
    ),
    Check(
        "GD202",
        Severity.ERROR,
        "supervisord with `stopasgroup=true` (a warning without plain tasks)",
        _GROUP_WHY,
        "`stopasgroup=false` and `killasgroup=true`",
        per_worker(stop_as_group),
    ),
    Check(
        "GD203",
        Severity.ERROR,
        "dumb-init without `--single-child` (a warning without plain tasks)",
        _GROUP_WHY,
        "`dumb-init --single-child -- celery …`",
        per_worker(dumb_init),
    ),
    Check(
        "GD204",
        Severity.ERROR,
        "`tini -g`, or `TINI_KILL_PROCESS_GROUP` with tini or compose's `init` (a warning without"
        " plain tasks)",
        _GROUP_WHY,
        "`tini -- celery …`",
        per_worker(tini),
    ),
    Check(
        "GD205",
        Severity.WARNING,
        "A Procfile's worker with neither `GRACEFUL_GRACE_PERIOD` nor `REMAP_SIGTERM=SIGQUIT`",
        f"honcho, foreman and Heroku signal all processes. {_GROUP_WHY}",
        "`worker: GRACEFUL_GRACE_PERIOD=5s celery …` (Heroku: `30s`)",
        per_worker(procfile),
    ),
    Check(
        "GD206",
        Severity.ERROR,
        "Plain tasks with `acks_late` but without `reject_on_worker_lost`, under a signal to the"
        " whole group, in a worker that does not know its grace period",
        "Celery acknowledges the message of a task whose process died, unless it is told to reject"
        " it: the task is lost in spite of its late ack.",
        "`task_reject_on_worker_lost = True`, or a signal to the main process alone",
        per_worker(not_rejected),
    ),
    Check(
        "GD207",
        Severity.ERROR,
        "A stop signal other than SIGTERM, SIGQUIT and SIGINT",
        "The worker goes on until SIGKILL, or dies of the signal at once; with SIGHUP it starts"
        " anew. Nothing is handed over.",
        "`STOPSIGNAL SIGTERM`, `stop_signal: SIGTERM`, `KillSignal=SIGTERM`, `stopsignal=TERM`",
        per_worker(wrong_signal),
    ),
    Check(
        "GD208",
        Severity.ERROR,
        "A `preStop` or `ExecStop` that sends SIGHUP",
        "SIGHUP means start anew: the worker comes back in the middle of its stop and takes new"
        " tasks until SIGKILL.",
        "no hook, or SIGTERM",
        per_worker(hangup),
    ),
    Check(
        "GD209",
        Severity.ERROR,
        "A `preStop` or `ExecStop` with `celery control shutdown` and no `-d`",
        "It is a broadcast: each pod that ends takes all other workers with it.",
        "no hook, or `-d` with the worker's own name",
        per_worker(stops_all),
    ),
    Check(
        "GD210",
        Severity.ERROR,
        "A `preStop` or `ExecStop` with `pkill` or `killall`",
        "Children have the same name as the worker and die of the signal: plain tasks are cut off,"
        " and their messages acknowledged.",
        "no hook, or a signal to the main process",
        per_worker(by_name),
    ),
    Check(
        "GD211",
        Severity.ERROR,
        "systemd with `KillMode=none`",
        "A stop sends nothing: the old worker runs on beside the new one, with the old code.",
        "`KillMode=mixed`",
        per_worker(no_kill),
    ),
    Check(
        "GD212",
        Severity.ERROR,
        "`REMAP_SIGTERM` with another value than `SIGQUIT`",
        "Celery knows no other value: SIGTERM stays a warm stop, or the worker does not start at"
        " all.",
        "`REMAP_SIGTERM=SIGQUIT`",
        per_worker(remapped_wrongly),
    ),
)
