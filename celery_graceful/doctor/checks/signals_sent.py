"""GD2xx: which signal stops a worker, and which processes get it."""

from __future__ import annotations

import re
from itertools import chain

from celery_graceful.doctor.checks.check import Check, Problem, Problems
from celery_graceful.doctor.checks.lines import with_variable
from celery_graceful.doctor.checks.worker_view import QUIT, WorkerView, worker_check
from celery_graceful.doctor.facts import Kind, Manager
from celery_graceful.doctor.finding import ERROR, WARNING, named

_HANGUP = re.compile(r"(?m)^(?:(?!\bkill\b).)*\bkill\b.*-(?:s\s*)?(?:SIG)?(?:HUP\b|1\b)")
_SHUTDOWN = re.compile(r"(?m)^(?:(?!\bcontrol\b).)*\bcontrol\b.*\bshutdown\b")
_DESTINATION = re.compile(r"(?:^|\s)(?:-d|--destination)\b")
_BY_NAME = re.compile(r"\b(?:pkill|killall)\b")
_OLDEST = re.compile(r"(?m)^(?:(?!\bpkill\b).)*\bpkill\b.*(?:-o\b|--oldest|-P\b|--parent)")
#: Signals that Celery takes for a stop.
_STOPS = ("SIGTERM", QUIT, "SIGINT")

_GROUP_WHY = (
    "The pool's children get SIGTERM as well. In a worker that does not know its grace period it"
    " kills them: plain tasks are cut off, and their messages acknowledged, with acks_late too. In"
    " one that does, children wait until it cuts tasks off; programs that tasks have started end."
)


def _group(view: WorkerView, cause: str, fix: str, key: str = "") -> Problems:
    """One way in which a signal reaches all processes; ``key``: the setting or variable for it."""
    worker, found = view.worker, view.group_cause
    if found is not None and found.startswith(cause) and view.loses_children:
        given = worker.variable(key)
        place = given.place if given else worker.place_of(key) if key else None
        # The plugin keeps other tasks alive, but not children that are just starting one.
        severity = None if view.tasks(Kind.PLAIN) else WARNING
        what = f"{found} sends {view.stop_signal}" + " to all processes"
        yield Problem(what, fix, place, severity=severity)


def _group_check(id: str, about: str, general_fix: str, *ways: tuple[str, ...]) -> Check:
    """A check of ways in which a signal reaches all processes: cause, fix and key of each."""
    return worker_check(
        id,
        ERROR,
        f"{about} (a warning without plain tasks)",
        why=_GROUP_WHY,
        fix=general_fix,
    )(lambda view: chain.from_iterable(_group(view, *way) for way in ways))


kill_mode = _group_check(
    "GD201",
    "systemd with `KillMode=control-group`, which is its default",
    "`KillMode=mixed`",
    ("KillMode", "KillMode=mixed", "KillMode"),
)
stop_as_group = _group_check(
    "GD202",
    "supervisord with `stopasgroup=true`",
    "`stopasgroup=false` and `killasgroup=true`",
    ("stopasgroup", "stopasgroup=false and killasgroup=true", "stopasgroup"),
)
dumb_init = _group_check(
    "GD203",
    "dumb-init without `--single-child`",
    "`dumb-init --single-child -- celery …`",
    ("dumb-init", "DUMB_INIT_SETSID=0 in its environment; or dumb-init --single-child"),
)
tini = _group_check(
    "GD204",
    "`tini -g`, or `TINI_KILL_PROCESS_GROUP` with tini or compose's `init`",
    "`tini -- celery …`",
    ("tini", "tini without -g"),
    ("TINI", "no TINI_KILL_PROCESS_GROUP", "TINI_KILL_PROCESS_GROUP"),
)


@worker_check(
    "GD205",
    WARNING,
    "A Procfile's worker with neither `GRACEFUL_GRACE_PERIOD` nor `REMAP_SIGTERM=SIGQUIT`",
    why=f"honcho, foreman and Heroku signal all processes. {_GROUP_WHY}",
    fix="`worker: GRACEFUL_GRACE_PERIOD=5s celery …` (Heroku: `30s`)",
)
def procfile(view: WorkerView) -> Problems:
    worker = view.worker
    if not view.knows_period:
        name = worker.name.removeprefix("process ")
        start = with_variable(worker.command, "GRACEFUL_GRACE_PERIOD=5s")
        line = f"{name}: {start}" if worker.manager is Manager.PROCFILE else start
        yield from _group(view, "the Procfile", line)


@worker_check(
    "GD206",
    ERROR,
    "Plain tasks with `acks_late` but without `reject_on_worker_lost`, under a signal to the whole"
    " group, in a worker that does not know its grace period",
    why="Celery acknowledges the message of a task whose process died, unless it is asked to reject"
    " it: the task is lost in spite of its late ack.",
    fix="`task_reject_on_worker_lost = True`, or a signal to the main process alone",
)
def not_rejected(view: WorkerView) -> Problems:
    late = [t.name for t in view.tasks(Kind.PLAIN) if t.acks_late and not t.reject_on_worker_lost]
    if late and view.loses_children and not view.knows_period:
        yield Problem(
            f"{named(late)}: acks_late without reject_on_worker_lost, and their processes die of"
            f" {view.group_cause}",
            "app.conf.task_reject_on_worker_lost = True",
            setting="task_reject_on_worker_lost",
        )


@worker_check(
    "GD207",
    ERROR,
    "A stop signal other than SIGTERM, SIGQUIT and SIGINT",
    why="The worker continues until SIGKILL, or dies of the signal at once; with SIGHUP it"
    " restarts. Nothing is handed over.",
    fix="`STOPSIGNAL SIGTERM`, `stop_signal: SIGTERM`, `KillSignal=SIGTERM`, `stopsignal=TERM`",
)
def wrong_signal(view: WorkerView) -> Problems:
    given, signal = view.worker.stop_signal, view.stop_signal
    if given is not None and signal not in _STOPS:
        does = "restarts the worker" if signal == "SIGHUP" else "does not stop the worker"
        what = f"it is stopped with {signal}, which {does}"
        yield Problem(what, view.worker.stop_form, given.place)


@worker_check(
    "GD208",
    ERROR,
    "A `preStop` or `ExecStop` that sends SIGHUP",
    why="SIGHUP means restart: the worker comes back in the middle of its stop and takes new tasks"
    " until SIGKILL.",
    fix="no hook, or SIGTERM",
)
def hangup(view: WorkerView) -> Problems:
    hook = view.worker.pre_stop
    if hook is not None and _HANGUP.search(hook.text):
        systemd = view.worker.manager is Manager.SYSTEMD
        fix = "ExecStop=" if systemd else "no preStop, or a sleep"
        yield Problem(f"the stop hook sends SIGHUP ({hook.text})", fix, hook.place)


@worker_check(
    "GD209",
    ERROR,
    "A `preStop` or `ExecStop` with `celery control shutdown` and no `-d`",
    why="It is a broadcast: each pod that ends takes all other workers with it.",
    fix="no hook, or `-d` with the worker's own name",
)
def stops_all(view: WorkerView) -> Problems:
    hook = view.worker.pre_stop
    if hook and _SHUTDOWN.search(hook.text) and not _DESTINATION.search(hook.text):
        yield Problem(
            f"the stop hook ends every worker of the app ({hook.text})",
            "no hook: SIGTERM is enough; or control shutdown -d celery@$HOSTNAME",
            hook.place,
        )


@worker_check(
    "GD210",
    ERROR,
    "A `preStop` or `ExecStop` with `pkill` or `killall`",
    why="Children have the same name as the worker and die of the signal: plain tasks are cut off,"
    " and their messages acknowledged.",
    fix="no hook, or a signal to the main process",
)
def by_name(view: WorkerView) -> Problems:
    hook = view.worker.pre_stop
    if hook and _BY_NAME.search(hook.text) and not _OLDEST.search(hook.text):
        yield Problem(
            f"the stop hook signals processes by name ({hook.text})",
            "no hook: the manager sends SIGTERM to the main process",
            hook.place,
        )


@worker_check(
    "GD211",
    ERROR,
    "systemd with `KillMode=none`",
    why="A stop sends no signal: the old worker continues beside the new one, with the old code.",
    fix="`KillMode=mixed`",
)
def no_kill(view: WorkerView) -> Problems:
    worker = view.worker
    none = worker.manager is Manager.SYSTEMD and worker.option("KillMode") == "none"
    if none and worker.pre_stop is None:
        yield Problem("KillMode=none stops nothing", "KillMode=mixed", worker.place_of("KillMode"))


@worker_check(
    "GD212",
    ERROR,
    "`REMAP_SIGTERM` with another value than `SIGQUIT`",
    why="Celery knows no other value: SIGTERM stays a warm stop, or the worker does not start at"
    " all.",
    fix="`REMAP_SIGTERM=SIGQUIT`",
)
def remapped_wrongly(view: WorkerView) -> Problems:
    found = view.remap
    if found is not None and found.value != QUIT and "$" not in found.value:
        setting = "" if found.place.file else "REMAP_SIGTERM"
        what = f"REMAP_SIGTERM is {found.value!r}"
        yield Problem(what, "REMAP_SIGTERM=SIGQUIT", found.place, setting)
