"""GD6xx: how long the broker lets a worker hold a message."""

from __future__ import annotations

from collections.abc import Callable

from celery_graceful.doctor.checks.check import Facts, Problem, Problems, app_check
from celery_graceful.doctor.facts import Kind, TaskFacts
from celery_graceful.doctor.finding import ERROR, NOTE, WARNING, named
from celery_graceful.durations import format_seconds

#: RabbitMQ's default, in seconds.
CONSUMER_TIMEOUT = 1800.0
#: A quorum queue with a lower delivery limit loses messages on a bad day.
_FEW_DELIVERIES = 5
_EXECUTION_TIME = "graceful_max_execution_time"

Allowed = Callable[[TaskFacts], float]


def _held_too_long(facts: Facts, allowed: Allowed) -> tuple[float, str] | None:
    """The late-acked task that holds its message for longest, if that is longer than allowed."""
    over = [
        (seconds, task.name)
        for task in facts.app.of_kind(Kind.PLAIN, Kind.GRACEFUL)
        if task.acks_late
        and (seconds := max(task.longest or 0.0, facts.seen.longest.get(task.name, 0.0)))
        > allowed(task)
    ]
    return max(over, default=None)


def _long_executions(facts: Facts, allowed: Allowed) -> list[str]:
    return [
        task.name
        for task in facts.app.of_kind(Kind.ITERABLE)
        if task.max_execution_time is None or task.max_execution_time >= allowed(task)
    ]


def _visibility(facts: Facts) -> Allowed:
    return lambda _: facts.app.visibility_timeout


def _consumer_timeout(facts: Facts) -> Allowed:
    known = {queue.name: queue.consumer_timeout for queue in facts.app.queues}
    return lambda task: known.get(task.queue) or CONSUMER_TIMEOUT


@app_check(
    "GD601",
    ERROR,
    "A visibility timeout shorter than a late-acked task, where nothing renews it",
    why="The broker delivers the message again while the task runs: two copies run at the same"
    " time.",
    fix="`graceful_renew_visibility = True` on Redis, a longer timeout on SQS",
)
def visibility(facts: Facts) -> Problems:
    app = facts.app
    redis = app.broker == "redis"
    over = _held_too_long(facts, _visibility(facts))
    if over is None or app.broker not in ("redis", "sqs") or (redis and app.renew_visibility):
        return
    seconds, name = over
    what = f"visibility_timeout is {app.visibility_timeout:g} s, and {name} may take"
    what += f" {format_seconds(seconds)}"
    if redis:
        what += ", and graceful_renew_visibility = False"
        fix = "app.conf.graceful_renew_visibility = True"
    else:
        options = f'{{"visibility_timeout": {int(seconds * 1.5)}}}'
        fix = f"app.conf.broker_transport_options = {options}"
    yield Problem(what, fix, setting="broker_transport_options")


@app_check(
    "GD602",
    WARNING,
    "Executions of iterable tasks longer than the visibility timeout of SQS",
    why="The message is delivered again while the execution runs; a copy that arrives after the"
    " end of the run starts it again.",
    fix="`graceful_max_execution_time` below the visibility timeout",
)
def executions_on_sqs(facts: Facts) -> Problems:
    timeout, long = facts.app.visibility_timeout, _long_executions(facts, _visibility(facts))
    if facts.app.broker == "sqs" and long:
        yield Problem(
            f"executions of {named(long)} may be longer than the visibility timeout of"
            f" {format_seconds(timeout)}",
            f"app.conf.{_EXECUTION_TIME} = {int(timeout * 0.66)}",
            setting=_EXECUTION_TIME,
        )


@app_check(
    "GD603",
    WARNING,
    "A late-acked task longer than RabbitMQ's `consumer_timeout`",
    why="RabbitMQ closes the channel. Celery ends the worker, and the task runs again from its"
    " start, with the same result.",
    fix="`consumer_timeout` in rabbitmq.conf, `x-consumer-timeout` for the queue, or a time limit",
)
def consumer_timeout(facts: Facts) -> Problems:
    over = _held_too_long(facts, _consumer_timeout(facts))
    if facts.app.broker == "amqp" and over is not None:
        seconds, name = over
        yield Problem(
            f"{name} is acked late and may take {format_seconds(seconds)}; RabbitMQ's"
            " consumer_timeout is half an hour unless the server says otherwise",
            f"consumer_timeout = {int(seconds * 1500)} in rabbitmq.conf, or x-consumer-timeout for"
            " its queue; or a time limit",
            setting="task_acks_late",
        )


@app_check(
    "GD604",
    WARNING,
    "Executions of iterable tasks longer than RabbitMQ's `consumer_timeout`",
    why="RabbitMQ closes the channel, and Celery ends the worker. The run continues in another, but"
    " each time a worker ends.",
    fix='`graceful_max_execution_time = "20m"`',
)
def executions_on_rabbitmq(facts: Facts) -> Problems:
    long = _long_executions(facts, _consumer_timeout(facts))
    if facts.app.broker == "amqp" and long:
        what = f"executions of {named(long)} may be longer than RabbitMQ's consumer_timeout"
        yield Problem(what, f'app.conf.{_EXECUTION_TIME} = "20m"', setting=_EXECUTION_TIME)


@app_check(
    "GD605",
    NOTE,
    "A quorum queue without a dead-letter exchange (a warning if its limit is below 5)",
    why="A message that came back too often is dropped: lost connections, closed channels and"
    " worker deaths count.",
    fix="a dead-letter exchange, or a higher `x-delivery-limit`, as argument or policy",
)
def deliveries(facts: Facts) -> Problems:
    for queue in facts.app.queues if facts.app.broker == "amqp" else ():
        limit = queue.delivery_limit
        few = limit is not None and limit < _FEW_DELIVERIES
        if queue.quorum and not queue.dead_letters and (few or limit is None):
            shown = limit if few else "20 by default, from RabbitMQ 4.0 on"
            yield Problem(
                f"the quorum queue {queue.name} has no dead-letter exchange; its delivery limit is"
                f" {shown}",
                '"x-dead-letter-exchange": "dead" in its queue_arguments, or "x-delivery-limit":'
                " 100, or a policy",
                setting="task_queues",
                severity=WARNING if few else None,
            )
