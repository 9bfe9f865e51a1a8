"""GD3xx: what starts a worker, and what is between it and its manager."""

from __future__ import annotations

from celery_graceful.doctor.checks.check import Problem, Problems
from celery_graceful.doctor.checks.lines import doubled_percents, in_foreground, starting_line
from celery_graceful.doctor.checks.worker_view import WorkerView, worker_check
from celery_graceful.doctor.commands.worker_command import Shell
from celery_graceful.doctor.facts import Manager, Place
from celery_graceful.doctor.finding import ERROR, NOTE, WARNING

#: What holds one worker.
_HOME = {
    Manager.COMPOSE: "service",
    Manager.DOCKER: "container",
    Manager.KUBERNETES: "container",
    Manager.SUPERVISORD: "program",
    Manager.SYSTEMD: "unit",
}
#: What makes the names of several workers differ; on one host, the name of the host does not.
_VARYING = ("%i", "process_num", "$", "host_node_name")
_BY_HOST = ("%h", "%n", "%d")


@worker_check(
    "GD301",
    ERROR,
    "A shell in front of the worker: the shell form of `CMD`, `sh -c` without `exec`, a pipe, a"
    " background job",
    why="The manager's signal goes to the shell, which does not forward it. As the first process of"
    " a container it ignores SIGTERM; elsewhere it dies and leaves the worker behind. SIGKILL comes"
    " either way, and the worker never gets the stop signal. (bash replaces itself with the last"
    " command; dash, the `sh` of Debian, does not.)",
    fix="the list form, or `exec celery …` as the last line",
)
def shell(view: WorkerView) -> Problems:
    worker = view.worker
    # foreman and the like signal the whole group of the shell.
    if worker.manager is Manager.PROCFILE or worker.command.detaches:
        return
    for stays in worker.command.shells:
        if stays.stays:
            fix = starting_line(worker, stays)
            if stays.company or _has_company(view):
                fix = f"a {_HOME.get(worker.manager, 'process')} of its own for the worker: {fix}"
            place = Place(stays.file, stays.line) if stays.line else None
            yield Problem(_why(stays), fix, place)


def _why(stays: Shell) -> str:
    if stays.piped:
        return f"the worker is one end of a pipe, and {stays.program} gets the signal"
    if stays.background:
        return f"the worker runs in the background of {stays.program}, which gets the signal"
    if not stays.last:
        return f"{stays.program} runs the worker, and continues after it"
    return f"{stays.program} runs the worker without exec, and gets the signal instead"


def _has_company(view: WorkerView) -> bool:
    """Whether the same text runs another worker at the same time: one can take its place."""
    own = view.worker
    outermost = [
        other.command.shells[0]
        for other in view.facts.workers
        if (other.manager, other.name) == (own.manager, own.name)
        and other.command.shells
        and other.command.shells[0].file == own.command.shells[0].file
    ]
    return len(outermost) > 1 and any(s.background or not s.last for s in outermost)


@worker_check(
    "GD302",
    ERROR,
    "`--detach` or `celery multi` under a manager",
    why="The process that the manager watches ends at once. A container ends with it, and SIGKILL"
    " hits the worker; supervisord starts the next worker, and the next.",
    fix="`celery -A … worker` in the foreground",
)
def detached(view: WorkerView) -> Problems:
    worker = view.worker
    systemd = worker.manager is Manager.SYSTEMD
    forking = systemd and worker.option("Type") in ("forking", "oneshot")
    unknown = worker.manager is Manager.SCRIPT  # a script may well be there to detach it
    if worker.command.detaches and not (forking or unknown):
        how = "celery multi" if worker.command.multi else "--detach"
        what = f"{how} detaches the worker from {worker.manager.value}"
        yield Problem(what, in_foreground(worker.command))


@worker_check(
    "GD303",
    ERROR,
    "systemd with `Type=forking` and a worker in the foreground",
    why="systemd waits for the start to end, gives up after `TimeoutStartSec`, and stops the worker"
    " in the middle of its work, again and again.",
    fix="`Type=exec`",
)
def never_forks(view: WorkerView) -> Problems:
    worker = view.worker
    waits = worker.manager is Manager.SYSTEMD and worker.option("Type") == "forking"
    if waits and not worker.command.detaches:
        what = "Type=forking, but the worker stays in the foreground"
        yield Problem(what, "Type=exec", worker.place_of("Type"))


@worker_check(
    "GD304",
    ERROR,
    "`conda run` or `su` in front of the worker",
    why="The worker never gets the stop signal (conda), or gets two seconds for it (su).",
    fix="start the worker's own program, as the right user",
)
def blocked(view: WorkerView) -> Problems:
    programs = [wrapper.program for wrapper in view.worker.command.wrappers]
    if "conda" in programs:
        yield Problem(
            "conda run does not forward SIGTERM",
            "the environment's own program: /opt/conda/envs/…/bin/celery -A … worker",
        )
    if "su" in programs:
        yield Problem(
            "su forwards SIGTERM, and sends SIGKILL 2 s later",
            "USER in the image, User= in the unit, user= of supervisord; or setpriv, gosu",
        )


@worker_check(
    "GD305",
    ERROR,
    "`--purge` at each start",
    why="Each deploy deletes the messages that wait in the queues, including those of"
    " interrupted runs.",
    fix="remove it",
)
def purges(view: WorkerView) -> Problems:
    if "purge" in view.worker.command.flags:
        yield Problem("--purge at each start", "remove --purge")


@worker_check(
    "GD306",
    ERROR,
    "`-B` in a worker of which there are several",
    why="Each of them is a beat: every scheduled task is sent several times.",
    fix="a separate process for `celery beat`",
)
def many_beats(view: WorkerView) -> Problems:
    copies = view.worker.copies
    if "beat" in view.worker.command.flags and copies is not None and copies.value > 1:
        what = f"-B in {copies.value} copies sends each scheduled task as often"
        yield Problem(what, "a separate process: celery -A … beat")


@worker_check(
    "GD307",
    WARNING,
    "A fixed node name (`-n`) for several workers",
    why="Workers of the same name answer for each other: `inspect`, `control` and `graceful down"
    " --wait` cannot tell them apart.",
    fix="`%h` in the name; on one host `%(process_num)d` or `%i`",
)
def same_name(view: WorkerView) -> Problems:
    worker = view.worker
    name, copies = worker.command.options.get("hostname", ""), worker.copies
    own_host = worker.many_hosts or worker.manager.container
    varying = (*_VARYING, *_BY_HOST) if own_host else _VARYING
    if name and copies is not None and copies.value > 1 and not any(v in name for v in varying):
        by_process = worker.manager is Manager.SUPERVISORD
        yield Problem(
            f"{copies.value} workers have the same name, {name}",
            f"-n {name.partition('@')[0]}{'%(process_num)d@%%h' if by_process else '@%h'}",
        )


@worker_check(
    "GD308",
    WARNING,
    "A manager that does not start the worker again (a note for docker-compose)",
    why="A worker ends by itself now and then: when RabbitMQ closes its channel, when a connection"
    " is lost at the wrong moment, after `control shutdown`. Nothing would start it again.",
    fix="`Restart=always`, `autorestart=true`, `restart: unless-stopped`",
)
def not_restarted(view: WorkerView) -> Problems:
    worker, off = view.worker, ("false", "no", "0", "off")
    if worker.manager is Manager.SYSTEMD and worker.option("Restart", "no") == "no":
        yield Problem("no Restart=", "Restart=always", worker.place_of("Restart"))
    supervisord = worker.manager is Manager.SUPERVISORD
    if supervisord and worker.option("autorestart").lower() in off:
        place = worker.place_of("autorestart")
        yield Problem("autorestart=false", "autorestart=true", place)
    if worker.manager is Manager.COMPOSE and worker.option("restart", "no") in ("no", "false"):
        place = worker.place_of("restart")
        yield Problem("no restart policy", "restart: unless-stopped", place, severity=NOTE)


@worker_check(
    "GD309",
    WARNING,
    "`%h` in a node name under systemd or supervisord",
    why="systemd replaces it with the home folder, so that workers of all hosts have one name;"
    " supervisord does not start at all.",
    fix="`%%h`",
)
def percent(view: WorkerView) -> Problems:
    worker = view.worker
    name, text = worker.command.options.get("hostname", ""), worker.command.text
    if name and doubled_percents(text, worker) != text:
        single = name.replace("%%", "%")
        what = f"{worker.manager.value} replaces %h and %d in -n {single} itself"
        yield Problem(what, f"-n {doubled_percents(single, worker)}")


@worker_check(
    "GD310",
    NOTE,
    "A running worker whose parent is the first process, and is neither an init nor a manager",
    why="A container's first process gets the signal. Whether this one forwards it is not known; a"
    " worker that left its starter (`--detach`) never gets it.",
    fix="`celery` as the container's command, or `tini -- celery …`",
)
def unknown_first_process(view: WorkerView) -> Problems:
    program = view.worker.option("first process")
    if program:
        what = f"the first process is {program}, which started the worker"
        fix = "celery itself as the container's command, or tini in front"
        yield Problem(what, fix, view.worker.place)
