"""GD3xx: what starts a worker, and what stands between it and its manager."""

from __future__ import annotations

from collections.abc import Iterator

from celery_graceful.doctor.checks.base import Check, Scene, Sight, per_worker
from celery_graceful.doctor.checks.lines import doubled_percents, in_foreground, starting_line
from celery_graceful.doctor.command import Shell
from celery_graceful.doctor.facts import Deployed, Manager, Place
from celery_graceful.doctor.finding import Severity

#: What holds one worker.
_HOME = {
    Manager.COMPOSE: "service",
    Manager.DOCKER: "container",
    Manager.KUBERNETES: "container",
    Manager.SUPERVISORD: "program",
    Manager.SYSTEMD: "unit",
}
#: What makes the names of several workers differ.
_VARYING = ("%h", "%n", "%i", "%d", "process_num", "$", "host_node_name")


def shell(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """A shell is told to stop, and does not tell the worker."""
    if worker.manager is Manager.PROCFILE:
        return  # foreman and its like signal the shell's whole group
    if worker.command.detaches:
        return
    for stays in worker.command.shells:
        if stays.stays:
            fix = starting_line(worker, stays)
            if stays.company or _has_company(worker, scene):
                fix = f"a {_HOME.get(worker.manager, 'process')} of its own for the worker: {fix}"
            place = Place(stays.file, stays.line) if stays.line else worker.started_at
            yield Sight(f"{worker.name}: {_why(stays)}", fix, place)


def _why(stays: Shell) -> str:
    if stays.piped:
        return f"the worker is one end of a pipe, and {stays.program} gets the signal"
    if stays.background:
        return f"the worker runs in the background of {stays.program}, which gets the signal"
    if not stays.last:
        return f"{stays.program} runs the worker, and goes on after it"
    return f"{stays.program} runs the worker without exec and gets the signal in its place"


def _has_company(worker: Deployed, scene: Scene) -> bool:
    """Whether the same text runs another worker at the same time: one can take its place."""
    same = [
        other
        for other in scene.workers
        if (other.manager, other.name, other.command.shells[:1] and other.command.shells[0].file)
        == (worker.manager, worker.name, worker.command.shells[0].file)
    ]
    beside = any(s.background or not s.last for each in same for s in each.command.shells[:1])
    return len(same) > 1 and beside


def detached(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """The manager sees the worker's starter end."""
    systemd = worker.manager is Manager.SYSTEMD
    forking = systemd and worker.option("Type") in ("forking", "oneshot")
    unknown = worker.manager is Manager.SCRIPT  # a script may well be there to detach it
    if worker.command.detaches and not (forking or unknown):
        how = "celery multi" if worker.command.multi else "--detach"
        yield Sight(
            f"{worker.name}: {how} takes the worker away from {worker.manager.value}",
            in_foreground(worker.command),
            worker.started_at,
        )


def never_forks(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """systemd waits for a fork that does not come."""
    waits = worker.manager is Manager.SYSTEMD and worker.option("Type") == "forking"
    if waits and not worker.command.detaches:
        what = f"{worker.name}: Type=forking, but the worker stays in the foreground"
        yield Sight(what, "Type=exec", worker.place_of("Type"))


def deaf(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """A program in front of the worker keeps signals, or shortens the stop."""
    programs = [wrapper.program for wrapper in worker.command.wrappers]
    if programs[:1] == ["conda"] or "conda" in programs:
        yield Sight(
            f"{worker.name}: conda run does not pass SIGTERM on",
            "the environment's own program: /opt/conda/envs/…/bin/celery -A … worker",
            worker.started_at,
        )
    if "su" in programs:
        yield Sight(
            f"{worker.name}: su passes SIGTERM on, and SIGKILL 2 s later",
            "USER in the image, User= in the unit, user= of supervisord; or setpriv, gosu",
            worker.started_at,
        )


def purges(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """Each start throws waiting messages away."""
    if "purge" in worker.command.flags:
        what = f"{worker.name}: --purge at each start"
        yield Sight(what, "leave --purge out", worker.started_at)


def many_beats(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """Every copy is a beat."""
    copies = worker.copies
    if "beat" in worker.command.flags and copies is not None and copies.value > 1:
        what = f"{worker.name}: -B in {copies.value} copies sends every entry as many times"
        yield Sight(what, "one process of its own: celery -A … beat", worker.started_at)


def same_name(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """Copies share a node name."""
    name = worker.command.options.get("hostname", "")
    copies = worker.copies
    if not name or copies is None or copies.value < 2:
        return
    # On one host, the name of the host makes no difference.
    own_host = worker.many_hosts or worker.manager.container
    varying = [v for v in _VARYING if own_host or v not in ("%h", "%n", "%d")]
    if not any(v in name for v in varying):
        by_process = worker.manager is Manager.SUPERVISORD
        yield Sight(
            f"{worker.name}: {copies.value} workers are all called {name}",
            f"-n {name.partition('@')[0]}{'%(process_num)d@%%h' if by_process else '@%h'}",
            worker.started_at,
        )


def percent(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """The manager takes the percent sign for itself."""
    name, text = worker.command.options.get("hostname", ""), worker.command.text
    if name and doubled_percents(text, worker) != text:
        single = name.replace("%%", "%")
        what = f"{worker.name}: {worker.manager.value} replaces %h and %d in -n {single} itself"
        yield Sight(what, f"-n {doubled_percents(single, worker)}", worker.started_at)


def stays_dead(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """A worker that ends by itself is not started again."""
    if worker.manager is Manager.SYSTEMD:
        if worker.option("Restart", "no") == "no":
            what = f"{worker.name}: no Restart="
            yield Sight(what, "Restart=always", worker.place_of("Restart"))
    elif worker.manager is Manager.SUPERVISORD:
        if worker.option("autorestart").lower() in ("false", "no", "0", "off"):
            what = f"{worker.name}: autorestart=false"
            yield Sight(what, "autorestart=true", worker.place_of("autorestart"))
    elif worker.manager is Manager.COMPOSE and worker.option("restart", "no") in ("no", "false"):
        what = f"{worker.name}: no restart policy"
        yield Sight(
            what, "restart: unless-stopped", worker.place_of("restart"), severity=Severity.NOTE
        )


def odd_first(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """A program as first process that may keep the signal to itself."""
    program = worker.option("first process")
    if program:
        what = f"{worker.name}: the first process is {program}, and has started the worker"
        yield Sight(
            what, "celery itself as the container's command, or tini in front", worker.place
        )


CHECKS = (
    Check(
        "GD301",
        Severity.ERROR,
        "A shell in front of the worker: the shell form of `CMD`, `sh -c` without `exec`, a pipe,"
        " a background job",
        "The manager's signal goes to the shell, which does not pass it on. As the first process of"
        " a container it ignores SIGTERM; else it dies and leaves the worker behind. SIGKILL comes"
        " either way, and the worker never hears of the stop. (bash gives its place to the last"
        " command by itself; dash, the `sh` of Debian, does not.)",
        "the list form, or `exec celery …` as the last line",
        per_worker(shell),
    ),
    Check(
        "GD302",
        Severity.ERROR,
        "`--detach` or `celery multi` under a manager",
        "The process that the manager watches ends at once. A container ends with it, and SIGKILL"
        " strikes the worker; supervisord starts the next worker, and the next.",
        "`celery -A … worker` in the foreground",
        per_worker(detached),
    ),
    Check(
        "GD303",
        Severity.ERROR,
        "systemd with `Type=forking` and a worker in the foreground",
        "systemd waits for the start to end, gives up after `TimeoutStartSec`, and stops the worker"
        " in the middle of its work, again and again.",
        "`Type=exec`",
        per_worker(never_forks),
    ),
    Check(
        "GD304",
        Severity.ERROR,
        "`conda run` or `su` in front of the worker",
        "The worker never hears of the stop (conda), or gets two seconds for it (su).",
        "start the worker's own program, as the right user",
        per_worker(deaf),
    ),
    Check(
        "GD305",
        Severity.ERROR,
        "`--purge` at each start",
        "Each deploy throws away what waits in the queues, runs that were handed over included.",
        "leave it out",
        per_worker(purges),
    ),
    Check(
        "GD306",
        Severity.ERROR,
        "`-B` in a worker of which there are several",
        "Each of them is a beat: every scheduled task is sent several times.",
        "a process of its own for `celery beat`",
        per_worker(many_beats),
    ),
    Check(
        "GD307",
        Severity.WARNING,
        "A fixed node name (`-n`) for several workers",
        "Workers of the same name answer for each other: `inspect`, `control` and `graceful down"
        " --wait` cannot tell them apart.",
        "`%h` in the name; on one host `%(process_num)d` or `%i`",
        per_worker(same_name),
    ),
    Check(
        "GD308",
        Severity.WARNING,
        "A manager that does not start the worker again (a note for docker-compose)",
        "A worker ends by itself now and then: when RabbitMQ closes its channel, when a connection"
        " is lost at the wrong moment, after `control shutdown`. Nobody would start it again.",
        "`Restart=always`, `autorestart=true`, `restart: unless-stopped`",
        per_worker(stays_dead),
    ),
    Check(
        "GD309",
        Severity.WARNING,
        "`%h` in a node name under systemd or supervisord",
        "systemd puts the home folder in its place, so that workers of all hosts have one name;"
        " supervisord does not start at all.",
        "`%%h`",
        per_worker(percent),
    ),
    Check(
        "GD310",
        Severity.NOTE,
        "A running worker whose parent is the first process, and is neither an init nor a manager",
        "A container's first process gets the signal. Whether this one passes it on cannot be told;"
        " a worker that left its starter (`--detach`) hears nothing.",
        "`celery` as the container's command, or `tini -- celery …`",
        per_worker(odd_first),
    ),
)
