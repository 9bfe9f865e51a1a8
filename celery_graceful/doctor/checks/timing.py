"""GD1xx: whether the time until SIGKILL is enough."""

from __future__ import annotations

from collections.abc import Iterator

from celery_graceful.doctor.checks.base import Check, Scene, Sight, named, per_worker, tasks_of
from celery_graceful.doctor.checks.period import (
    IDLE_STOP,
    cuts_plain,
    knows,
    period_text,
    time_to_end,
)
from celery_graceful.doctor.checks.proposal import (
    is_default,
    limit_of,
    proposed_period,
    waited_for,
)
from celery_graceful.doctor.checks.stops import is_cold
from celery_graceful.doctor.facts import Deployed, Kind, Manager, TaskFacts
from celery_graceful.doctor.finding import Severity
from celery_graceful.durations import format_seconds


def _too_short(worker: Deployed, seconds: float) -> bool:
    left = worker.seconds_to_stop
    return left is not None and left < seconds


def _at(
    worker: Deployed,
    scene: Scene,
    what: str,
    alternative: str = "",
    severity: Severity | None = None,
    whole: float = 0.0,
) -> Sight:
    assert worker.grace is not None
    seconds = max(whole, proposed_period(worker, scene))
    fix = worker.grace_form.format(seconds=_plain(seconds))
    fix += f"; or {alternative}" if alternative else ""
    return Sight(
        f"{worker.name}: {period_text(worker)}, {what}",
        fix,
        worker.grace.place,
        setting="graceful_grace_period" if worker.manager is Manager.THIS else "",
        severity=severity,
    )


def _plain(seconds: float) -> str:
    return f"{seconds:g}" if seconds < 1e6 else f"{seconds:.0f}"


def idle(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """The grace period is shorter than an idle worker's stop."""
    if worker.grace is not None and worker.grace.value < IDLE_STOP:
        yield _at(worker, scene, f"an idle worker's stop takes up to {IDLE_STOP:g} s")


def hook(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """The hook leaves nothing of the grace period."""
    enough = worker.grace is not None and worker.grace.value >= IDLE_STOP
    if enough and _too_short(worker, IDLE_STOP):
        yield _at(worker, scene, "and SIGTERM comes after it", "let the hook end sooner")


def soft(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """The soft shutdown does not fit in."""
    seconds = scene.app.soft_shutdown_timeout
    if seconds and is_cold(worker, scene.app) and _too_short(worker, seconds + IDLE_STOP):
        what = f"and worker_soft_shutdown_timeout = {seconds:g} may take the whole of it"
        shorter = "a shorter worker_soft_shutdown_timeout"
        # It is cut short then, and what runs is handed over in time.
        severity = Severity.WARNING if knows(worker, scene.app) else None
        yield _at(worker, scene, what, shorter, severity)


def _how_bad(task: TaskFacts) -> Severity:
    """Whether a ``GracefulTask`` heeds the stop cannot be seen from here."""
    if task.kind is Kind.GRACEFUL:
        return Severity.NOTE if task.acks_late else Severity.WARNING
    return Severity.WARNING if task.acks_late else Severity.ERROR


def _leaves(task: TaskFacts) -> str:
    """What lets a task leave earlier."""
    if task.kind is Kind.GRACEFUL:
        return f"let {task.name} heed stopping(), if it does not"
    return f"make {task.name} an iterable task, which leaves after its item"


def seen(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """A task was seen to take longer."""
    late_ones = [
        (scene.seen.longest.get(task.name, 0.0), task) for task in waited_for(worker, scene)
    ]
    over = [(s, task) for s, task in late_ones if not time_to_end(s, worker, scene.app)]
    if over and not _too_short(worker, IDLE_STOP):
        seconds, longest = max(over, key=lambda pair: pair[0])
        lost = [task.name for _, task in over if not task.acks_late]
        cut = cuts_plain(worker, scene.app)
        becomes = "it would be cut off, and begin again in another worker"
        if lost:
            becomes = f"{named(lost)} would be {'cut off and ' if cut else ''}lost"
        elif not cut:
            becomes = "it would be killed, and begin again once the broker misses the worker"
        yield _at(
            worker,
            scene,
            f"and {longest.name} took {format_seconds(seconds)} lately: {becomes}",
            _leaves(longest),
            severity=max(_how_bad(task) for _, task in over),
        )


def limits(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """A task may take longer by its time limit."""
    over = []
    for task in waited_for(worker, scene):
        limit = limit_of(task, worker)
        if limit and not time_to_end(limit, worker, scene.app):
            over.append((limit, task))
    if over and not _too_short(worker, IDLE_STOP):
        limit, longest = max(over, key=lambda pair: (pair[0], pair[1].name))
        cut = cuts_plain(worker, scene.app)
        harmless = all(t.kind is Kind.GRACEFUL or (cut and t.acks_late) for _, t in over)
        yield _at(
            worker,
            scene,
            f"and the time limit of {longest.name} allows {format_seconds(limit)}",
            f"a lower limit, or {_leaves(longest)}",
            Severity.NOTE if harmless else None,
        )


def items(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """An item of an iterable task takes longer."""
    over = [
        (seconds, task.name)
        for task in tasks_of(worker, scene.app, Kind.ITERABLE)
        if (seconds := scene.seen.items.get(task.name, 0.0))
        and not time_to_end(seconds, worker, scene.app)
    ]
    if over:
        seconds, name = max(over)
        what = f"and an item of {name} takes {format_seconds(seconds)}"
        yield _at(worker, scene, what, "make the items smaller")


def default(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """Ten seconds that nobody has chosen."""
    if worker.grace is not None and is_default(worker):
        yield Sight(
            f"{worker.name}: {worker.grace_setting} is not set; {worker.manager.value} kills after"
            f" {worker.grace.value:g} s",
            worker.grace_form.format(seconds=_plain(proposed_period(worker, scene))),
            worker.grace.place,
        )


def misplaced(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """A setting that nobody reads."""
    home = "[Service]" if worker.manager is Manager.SYSTEMD else "the pod's spec, beside containers"
    for each in worker.misplaced:
        what = f"{worker.name}: {each.value} is not read where it stands"
        yield Sight(what, f"{each.value} in {home}", each.place)


def around(scene: Scene) -> Iterator[Sight]:
    """A container ends before the supervisord in it gives up."""
    inside = [w for w in scene.workers if w.manager is Manager.SUPERVISORD and w.grace]
    longest = max((proposed_period(w, scene) for w in inside), default=0.0)
    for each in scene.supervisors:
        if _too_short(each, longest):
            what = f"and supervisord waits for its workers for {longest:g} s"
            yield _at(each, scene, what, whole=longest + IDLE_STOP)


CHECKS = (
    Check(
        "GD101",
        Severity.ERROR,
        "A grace period that is shorter than the stop of an idle worker",
        "Every stop ends with SIGKILL: early-acked tasks are lost, runs wait for their lease to"
        " end, and their last items run again.",
        "a longer `terminationGracePeriodSeconds`, `stop_grace_period`, `TimeoutStopSec` or"
        " `stopwaitsecs`",
        per_worker(idle),
    ),
    Check(
        "GD102",
        Severity.ERROR,
        "A `preStop` that uses the grace period up",
        "The hook's time counts in. What it leaves is less than an idle worker needs, so that"
        " SIGKILL follows SIGTERM at once.",
        "a longer grace period, or a shorter sleep",
        per_worker(hook),
    ),
    Check(
        "GD103",
        Severity.ERROR,
        "A soft shutdown that is longer than the grace period (a warning if the worker knows it)",
        "SIGKILL comes during the soft shutdown: nothing is given back to the broker, and"
        " early-acked tasks are lost without a line in the log. A worker that knows its grace"
        " period cuts the soft shutdown short.",
        "a longer grace period, or a shorter `worker_soft_shutdown_timeout`",
        per_worker(soft),
    ),
    Check(
        "GD104",
        Severity.ERROR,
        "A task that took longer than the grace period lately (a warning if acked late; for a"
        " `GracefulTask`, which may heed the stop, a warning, or a note if acked late)",
        "A worker that knows its grace period cuts it off shortly before SIGKILL: acked late, it"
        " begins again in another worker, at each deploy; acked early, it is lost, with a line in"
        " the log. A worker that does not know waits for it until SIGKILL.",
        "a longer grace period, or an iterable task",
        per_worker(seen),
    ),
    Check(
        "GD105",
        Severity.WARNING,
        "A task whose time limit is longer than the grace period (a note if it is acked late and"
        " the worker knows its grace period, and for a `GracefulTask`)",
        "A task that takes as long as it may is cut off shortly before SIGKILL: acked late, it"
        " begins again in another worker; acked early, it is lost, with a line in the log. A worker"
        " that does not know its grace period waits for it until SIGKILL.",
        "a longer grace period, a lower time limit, or an iterable task",
        per_worker(limits),
    ),
    Check(
        "GD106",
        Severity.ERROR,
        "An item of an iterable task that takes longer than the grace period",
        "A run leaves between two items. This one is cut off at every stop, and begins again in the"
        " next worker; if the worker does not know its grace period, only after the lease has"
        " ended.",
        "a longer grace period, or smaller items",
        per_worker(items),
    ),
    Check(
        "GD107",
        Severity.WARNING,
        "A grace period that nobody chose: the 10 s of Docker and of supervisord",
        "A stop takes 3 s, and the longest item and the longest plain task come on top. Ten seconds"
        " are soon gone.",
        "`stop_grace_period: 60s`, `stopwaitsecs=60`",
        per_worker(default),
    ),
    Check(
        "GD108",
        Severity.ERROR,
        "`terminationGracePeriodSeconds` outside of the pod's `spec`, `KillMode` and the like"
        " outside of `[Service]`",
        "It is passed over there, and the default is in force.",
        "the right place",
        per_worker(misplaced),
    ),
    Check(
        "GD109",
        Severity.ERROR,
        "A container with supervisord whose grace period is shorter than `stopwaitsecs`",
        "The container is killed, supervisord and workers alike, while supervisord still waits.",
        "a grace period longer than the longest `stopwaitsecs`",
        around,
    ),
)
