"""How a worker is stopped: which signal, to whom, warm or cold."""

from __future__ import annotations

from celery_graceful.doctor.facts import AppFacts, Deployed, Given, Manager, Place

QUIT = "SIGQUIT"
#: tini, and what takes the same option.
_TINI = ("tini", "tini-static", "docker-init", "catatonit")


def pool_of(worker: Deployed, app: AppFacts) -> str:
    """The name of the worker's pool."""
    return worker.command.options.get("pool") or app.pool


def is_prefork(worker: Deployed, app: AppFacts) -> bool:
    """Whether tasks run in child processes."""
    return pool_of(worker, app) in ("prefork", "processes")


def signal_of(worker: Deployed) -> str:
    """The signal that the manager stops it with."""
    return worker.stop_signal.value if worker.stop_signal else "SIGTERM"


def remap(worker: Deployed, app: AppFacts) -> Given[str] | None:
    """``REMAP_SIGTERM`` as the worker has it."""
    found = worker.variable("REMAP_SIGTERM")
    if found is None and worker.manager is Manager.THIS and app.remap_sigterm:
        return Given(app.remap_sigterm, Place(""))
    return found if found is not None and found.value else None


def _remapped(worker: Deployed, app: AppFacts) -> bool:
    found = remap(worker, app)
    return found is not None and found.value == QUIT


def is_cold(worker: Deployed, app: AppFacts) -> bool:
    """Whether its tasks are cut off after the soft shutdown, instead of waited for.

    Only on prefork: Celery's other pools cannot, and end warm.
    """
    signal = signal_of(worker)
    cold = signal == QUIT or (signal == "SIGTERM" and _remapped(worker, app))
    return cold and is_prefork(worker, app)


def group_cause(worker: Deployed) -> str | None:
    """Why the signal reaches the pool's children as well; ``None`` when it does not."""
    if worker.manager is Manager.SYSTEMD:
        mode = worker.option("KillMode", "control-group")
        stopped_before = waits_by_itself(worker)
        return f"KillMode={mode}" if mode == "control-group" and not stopped_before else None
    if worker.manager is Manager.SUPERVISORD and _on(worker.option("stopasgroup")):
        return "stopasgroup=true"
    dumb = worker.command.wrapper("dumb-init")
    if dumb is not None and not dumb.has("-c", "--single-child"):
        setsid = worker.variable("DUMB_INIT_SETSID")
        if setsid is None or setsid.value != "0":
            return "dumb-init without --single-child"
    tini = next((w for w in worker.command.wrappers if w.program in _TINI), None)
    if tini is not None and tini.has("-g"):
        return "tini -g"
    by_variable = worker.variable("TINI_KILL_PROCESS_GROUP")
    if by_variable is not None and (tini is not None or worker.option("init") == "true"):
        return "TINI_KILL_PROCESS_GROUP"
    return "the Procfile's manager" if worker.manager is Manager.PROCFILE else None


def waits_by_itself(worker: Deployed) -> bool:
    """Whether ``ExecStop`` ends the worker before systemd sends any signal."""
    return worker.pre_stop is not None and "stopwait" in worker.pre_stop.text


def kills_by_group(worker: Deployed, app: AppFacts) -> bool:
    """Whether children die of the signal: with REMAP_SIGTERM they ignore SIGTERM."""
    return (
        is_prefork(worker, app)
        and group_cause(worker) is not None
        # A wrong signal counts as well: put right, it is SIGTERM.
        and signal_of(worker) not in (QUIT, "SIGINT")
        and not _remapped(worker, app)
    )


def _on(value: str) -> bool:
    return value.lower() in ("true", "yes", "on", "1")
