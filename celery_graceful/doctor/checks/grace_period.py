"""GD1xx: whether the grace period is long enough, and whether the worker knows it."""

from __future__ import annotations

from celery_graceful.doctor.checks.check import Facts, Problem, Problems, app_check
from celery_graceful.doctor.checks.worker_view import IDLE_STOP, WorkerView, worker_check
from celery_graceful.doctor.facts import Kind, Manager, TaskFacts
from celery_graceful.doctor.finding import ERROR, NOTE, WARNING, Severity, named
from celery_graceful.durations import format_seconds
from celery_graceful.grace.surroundings import VARIABLE


def _too_short(
    view: WorkerView,
    what: str,
    alternative: str = "",
    severity: Severity | None = None,
    at_least: float = 0.0,
) -> Problem:
    """The problem that a grace period is too short, with the one period that is proposed."""
    worker = view.worker
    assert worker.grace is not None
    fix = worker.grace_form.format(seconds=_written(max(at_least, view.proposed_period)))
    fix += f"; or {alternative}" if alternative else ""
    setting = "graceful_grace_period" if worker.manager is Manager.THIS else ""
    return Problem(f"{view.period_text}, {what}", fix, worker.grace.place, setting, severity)


def _written(seconds: float) -> str:
    return f"{seconds:g}" if seconds < 1e6 else f"{seconds:.0f}"


@worker_check(
    "GD101",
    ERROR,
    "A grace period shorter than the stop of an idle worker",
    why="Every stop ends with SIGKILL: early-acked tasks are lost, runs wait until their lease"
    " expires, and their last items run again.",
    fix="a longer `terminationGracePeriodSeconds`, `stop_grace_period`, `TimeoutStopSec` or"
    " `stopwaitsecs`",
)
def idle_worker(view: WorkerView) -> Problems:
    grace = view.worker.grace
    if grace is not None and grace.value < IDLE_STOP:
        yield _too_short(view, f"an idle worker's stop takes up to {IDLE_STOP:g} s")


@worker_check(
    "GD102",
    ERROR,
    "A `preStop` hook that uses up the grace period",
    why="The time of the hook is part of the grace period. What remains is less than an idle"
    " worker needs, so SIGKILL follows SIGTERM at once.",
    fix="a longer grace period, or a shorter sleep",
)
def hook(view: WorkerView) -> Problems:
    grace = view.worker.grace
    if grace is not None and grace.value >= IDLE_STOP and view.has_less_than(IDLE_STOP):
        yield _too_short(view, "and SIGTERM comes only after it", "a shorter hook")


@worker_check(
    "GD103",
    ERROR,
    "A soft shutdown longer than the grace period (a warning if the worker knows the period)",
    why="SIGKILL comes during the soft shutdown: nothing is handed over, and early-acked tasks are"
    " lost without a line in the log. A worker that knows its grace period ends the soft shutdown"
    " earlier.",
    fix="a longer grace period, or a shorter `worker_soft_shutdown_timeout`",
)
def soft_shutdown(view: WorkerView) -> Problems:
    seconds = view.app.soft_shutdown_timeout
    if seconds and view.is_cold and view.has_less_than(seconds + IDLE_STOP):
        what = f"and worker_soft_shutdown_timeout = {seconds:g} may take all of it"
        severity = WARNING if view.knows_period else None
        yield _too_short(view, what, "a shorter worker_soft_shutdown_timeout", severity)


def _severity(task: TaskFacts) -> Severity:
    """Whether a ``GracefulTask`` reacts to the stop is not visible from here."""
    if task.kind is Kind.GRACEFUL:
        return NOTE if task.acks_late else WARNING
    return WARNING if task.acks_late else ERROR


def _change(task: TaskFacts) -> str:
    """What makes a task end earlier."""
    if task.kind is Kind.GRACEFUL:
        return f"make {task.name} check stopping(), unless it does"
    return f"make {task.name} an iterable task, which stops after its item"


@worker_check(
    "GD104",
    ERROR,
    "A task that recently took longer than the grace period (a warning if acked late; for a"
    " `GracefulTask`, which may react to the stop, a warning, or a note if acked late)",
    why="A worker that knows its grace period cuts the task off shortly before SIGKILL. Acked late,"
    " it starts again in another worker, at every deploy; acked early, it is lost, with a line in"
    " the log. A worker that does not know its grace period waits for the task until SIGKILL.",
    fix="a longer grace period, or an iterable task",
)
def long_task(view: WorkerView) -> Problems:
    taken = [(view.facts.seen.longest.get(task.name, 0.0), task) for task in view.waited_for]
    over = [(s, task) for s, task in taken if not view.has_time_for(s)]
    if not over or view.has_less_than(IDLE_STOP):
        return
    seconds, longest = max(over, key=lambda pair: pair[0])
    lost = [task.name for _, task in over if not task.acks_late]
    cut = view.cuts_plain_tasks
    becomes = "it would be cut off, and start again in another worker"
    if lost:
        becomes = f"{named(lost)} would be {'cut off and ' if cut else ''}lost"
    elif not cut:
        becomes = "it would be killed, and start again when the broker redelivers it"
    what = f"and {longest.name} took {format_seconds(seconds)} recently: {becomes}"
    yield _too_short(view, what, _change(longest), max(_severity(task) for _, task in over))


@worker_check(
    "GD105",
    WARNING,
    "A task whose time limit is longer than the grace period (a note if it is acked late and the"
    " worker knows its grace period, and for a `GracefulTask`)",
    why="A task that uses its whole time limit is cut off shortly before SIGKILL. Acked late, it"
    " starts again in another worker; acked early, it is lost, with a line in the log. A worker"
    " that does not know its grace period waits for the task until SIGKILL.",
    fix="a longer grace period, a lower time limit, or an iterable task",
)
def long_limit(view: WorkerView) -> Problems:
    limits = [(view.limit_of(task) or 0.0, task) for task in view.waited_for]
    over = [(limit, task) for limit, task in limits if limit and not view.has_time_for(limit)]
    if not over or view.has_less_than(IDLE_STOP):
        return
    limit, longest = max(over, key=lambda pair: (pair[0], pair[1].name))
    cut = view.cuts_plain_tasks
    harmless = all(t.kind is Kind.GRACEFUL or (cut and t.acks_late) for _, t in over)
    what = f"and the time limit of {longest.name} allows {format_seconds(limit)}"
    fix = f"a lower limit, or {_change(longest)}"
    yield _too_short(view, what, fix, NOTE if harmless else None)


@worker_check(
    "GD106",
    ERROR,
    "An item of an iterable task that takes longer than the grace period",
    why="A run stops between two items. This item is cut off at every stop and starts again in the"
    " next worker; if the worker does not know its grace period, only once the lease has expired.",
    fix="a longer grace period, or smaller items",
)
def long_item(view: WorkerView) -> Problems:
    items = view.facts.seen.items
    taken = [(items.get(task.name, 0.0), task.name) for task in view.tasks(Kind.ITERABLE)]
    over = [
        (seconds, name) for seconds, name in taken if seconds and not view.has_time_for(seconds)
    ]
    if over:
        seconds, name = max(over)
        what = f"and an item of {name} takes {format_seconds(seconds)}"
        yield _too_short(view, what, "make the items smaller")


@worker_check(
    "GD107",
    WARNING,
    "A grace period that nobody chose: the 10 s of Docker and of supervisord",
    why="A stop takes 3 s, plus the time of the longest item and of the longest plain task. Ten"
    " seconds are soon not enough.",
    fix="`stop_grace_period: 60s`, `stopwaitsecs=60`",
)
def default_period(view: WorkerView) -> Problems:
    worker = view.worker
    if worker.grace is not None and view.has_default_period:
        yield Problem(
            f"{worker.grace_setting} is not set; {worker.manager.value} kills after"
            f" {worker.grace.value:g} s",
            worker.grace_form.format(seconds=_written(view.proposed_period)),
            worker.grace.place,
        )


@worker_check(
    "GD108",
    ERROR,
    "`terminationGracePeriodSeconds` outside the pod's `spec`, `KillMode` and the like outside"
    " `[Service]`",
    why="The setting is ignored there, and the default applies.",
    fix="the right place",
)
def misplaced(view: WorkerView) -> Problems:
    systemd = view.worker.manager is Manager.SYSTEMD
    home = "[Service]" if systemd else "the pod's spec, beside containers"
    for each in view.worker.misplaced:
        what = f"{each.value} is ignored in this place"
        yield Problem(what, f"{each.value} in {home}", each.place)


@app_check(
    "GD109",
    ERROR,
    "A container with supervisord whose grace period is shorter than `stopwaitsecs`",
    why="The container is killed, supervisord and workers alike, while supervisord still waits.",
    fix="a grace period longer than the longest `stopwaitsecs`",
)
def around_supervisord(facts: Facts) -> Problems:
    views = [WorkerView(worker, facts) for worker in facts.workers]
    inside = [v for v in views if v.worker.manager is Manager.SUPERVISORD and v.worker.grace]
    longest = max((view.proposed_period for view in inside), default=0.0)
    for container in (WorkerView(each, facts) for each in facts.supervisors):
        if container.has_less_than(longest):
            what = f"and supervisord waits for its workers for {longest:g} s"
            problem = _too_short(container, what, at_least=longest + IDLE_STOP)
            yield Problem(f"{container.worker.name}: {problem.what}", problem.fix, problem.place)


@worker_check(
    "GD110",
    ERROR,
    "`GRACEFUL_GRACE_PERIOD` or `graceful_grace_period` longer than the grace period, less its"
    " hook",
    why="The worker plans to hand over shortly before SIGKILL, and SIGKILL comes before that:"
    " nothing is handed over, and early-acked tasks are lost without a line in the log.",
    fix="the same time in both places; with a `preStop` hook, what the hook leaves",
)
def wrong_period(view: WorkerView) -> Problems:
    worker, given, left = view.worker, view.given_period, view.worker.seconds_to_stop
    if given is None or left is None or worker.manager in (Manager.THIS, Manager.RUNNING):
        return
    if given.value > left:
        by_variable = bool(given.place.file)
        setting = VARIABLE if by_variable else "graceful_grace_period"
        fit = view.proposed_left
        yield Problem(
            f"{view.period_text}, but {setting} is {given.value:g} s",
            f"{VARIABLE}={fit:g}s" if by_variable else f'app.conf.{setting} = "{fit:g}s"',
            given.place if by_variable else (worker.grace.place if worker.grace else worker.place),
        )


@worker_check(
    "GD111",
    WARNING,
    "A worker in docker-compose that does not know its grace period (a note in Kubernetes, where"
    " it may be allowed to ask)",
    why="Inside a container the worker cannot see when it will be killed. It waits for its tasks"
    " until SIGKILL, instead of handing over before.",
    fix="`GRACEFUL_GRACE_PERIOD` in its environment, beside `stop_grace_period` or"
    " `terminationGracePeriodSeconds`",
)
def unknown_period(view: WorkerView) -> Problems:
    worker = view.worker
    # The API of Kubernetes may say it, if the service account is allowed to ask.
    in_pod = worker.manager is Manager.KUBERNETES
    silent = in_pod or worker.manager is Manager.COMPOSE
    unset = worker.variable(VARIABLE) is None and view.app.grace_period is None
    if silent and worker.seconds_to_stop and unset:
        what = f"{view.period_text}, and the worker does not know it"
        fix = f"{VARIABLE}={view.proposed_left:g}s in its environment"
        yield Problem(what, fix, worker.place, severity=NOTE if in_pod else None)
