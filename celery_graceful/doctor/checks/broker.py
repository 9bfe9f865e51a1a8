"""GD6xx: how long the broker lets a message be held."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from celery_graceful.doctor.checks.base import Check, Scene, Sight, named
from celery_graceful.doctor.facts import Kind, TaskFacts
from celery_graceful.doctor.finding import Severity
from celery_graceful.durations import format_seconds

#: RabbitMQ's default, in seconds.
CONSUMER_TIMEOUT = 1800.0
#: A quorum queue that gives up so soon does not outlive a bad day.
_FEW_DELIVERIES = 5
_PLAIN = (Kind.PLAIN, Kind.GRACEFUL)


def _holds_longer(scene: Scene, allowed: Callable[[TaskFacts], float]) -> tuple[float, str] | None:
    """The plain task that holds its message for longest, if that is longer than allowed."""
    over = [
        (seconds, task.name)
        for task in scene.app.of_kind(*_PLAIN)
        if task.acks_late
        and (seconds := max(task.longest or 0.0, scene.seen.longest.get(task.name, 0.0)))
        > allowed(task)
    ]
    return max(over, default=None)


def visibility(scene: Scene) -> Iterator[Sight]:
    """Redis and SQS deliver again what runs for too long."""
    app = scene.app
    renewed = app.broker == "redis" and app.renew_visibility
    if app.broker not in ("redis", "sqs") or renewed:
        return
    over = _holds_longer(scene, lambda _: app.visibility_timeout)
    if over is not None:
        seconds, name = over
        yield Sight(
            f"visibility_timeout is {app.visibility_timeout:g} s, and {name} may take"
            f" {format_seconds(seconds)}"
            + (", and graceful_renew_visibility = False" if app.broker == "redis" else ""),
            "app.conf.graceful_renew_visibility = True"
            if app.broker == "redis"
            else f"app.conf.broker_transport_options ="
            f' {{"visibility_timeout": {int(seconds * 1.5)}}}',
            setting="broker_transport_options",
        )


def executions_on_sqs(scene: Scene) -> Iterator[Sight]:
    """On SQS nothing is renewed."""
    app = scene.app
    if app.broker != "sqs":
        return
    long = _long_executions(app.of_kind(Kind.ITERABLE), lambda _: app.visibility_timeout)
    if long:
        yield Sight(
            f"executions of {named(long)} may be longer than the visibility timeout of"
            f" {format_seconds(app.visibility_timeout)}",
            f"app.conf.graceful_max_execution_time = {int(app.visibility_timeout * 0.66)}",
            setting="graceful_max_execution_time",
        )


def _consumer_timeout(scene: Scene) -> Callable[[TaskFacts], float]:
    known = {queue.name: queue.consumer_timeout for queue in scene.app.queues}

    def of(task: TaskFacts) -> float:
        return known.get(task.queue) or CONSUMER_TIMEOUT

    return of


def _long_executions(tasks: list[TaskFacts], allowed: Callable[[TaskFacts], float]) -> list[str]:
    return [
        task.name
        for task in tasks
        if task.max_execution_time is None or task.max_execution_time >= allowed(task)
    ]


def consumer_timeout(scene: Scene) -> Iterator[Sight]:
    """RabbitMQ closes the channel of a task that runs for too long."""
    if scene.app.broker != "amqp":
        return
    over = _holds_longer(scene, _consumer_timeout(scene))
    if over is not None:
        seconds, name = over
        yield Sight(
            f"{name} is acked late and may take {format_seconds(seconds)}; RabbitMQ's"
            " consumer_timeout is half an hour unless the server says otherwise",
            f"consumer_timeout = {int(seconds * 1500)} in rabbitmq.conf, or x-consumer-timeout for"
            " its queue; or a time limit",
            setting="task_acks_late",
        )


def executions_on_rabbitmq(scene: Scene) -> Iterator[Sight]:
    """Executions have to be shorter than that."""
    if scene.app.broker != "amqp":
        return
    long = _long_executions(scene.app.of_kind(Kind.ITERABLE), _consumer_timeout(scene))
    if long:
        yield Sight(
            f"executions of {named(long)} may be longer than RabbitMQ's consumer_timeout",
            'app.conf.graceful_max_execution_time = "20m"',
            setting="graceful_max_execution_time",
        )


def deliveries(scene: Scene) -> Iterator[Sight]:
    """Quorum queues drop what came back too often."""
    if scene.app.broker != "amqp":
        return
    for queue in scene.app.queues:
        if not queue.quorum or queue.dead_letters:
            continue
        few = queue.delivery_limit is not None and queue.delivery_limit < _FEW_DELIVERIES
        if few or queue.delivery_limit is None:
            limit = queue.delivery_limit if few else "20 by default, from RabbitMQ 4.0 on"
            yield Sight(
                f"the quorum queue {queue.name} has no dead-letter exchange; its delivery limit is"
                f" {limit}",
                '"x-dead-letter-exchange": "dead" in its queue_arguments, or "x-delivery-limit":'
                " 100, or a policy",
                setting="task_queues",
                severity=Severity.WARNING if few else None,
            )


CHECKS = (
    Check(
        "GD601",
        Severity.ERROR,
        "A visibility timeout that is shorter than a late-acked task, where nothing renews it",
        "The broker delivers the message again while the task runs: two copies run at the same"
        " time.",
        "`graceful_renew_visibility = True` on Redis, a longer timeout on SQS",
        visibility,
    ),
    Check(
        "GD602",
        Severity.WARNING,
        "Executions of iterable tasks that are longer than the visibility timeout of SQS",
        "The message is delivered again while the execution runs; a copy that arrives after the"
        " run's end starts it anew.",
        "`graceful_max_execution_time` below the visibility timeout",
        executions_on_sqs,
    ),
    Check(
        "GD603",
        Severity.WARNING,
        "A late-acked task that is longer than RabbitMQ's `consumer_timeout`",
        "RabbitMQ closes the channel. Celery ends the worker, and the task runs again from its"
        " start, to the same end.",
        "`consumer_timeout` in rabbitmq.conf, `x-consumer-timeout` for the queue, or a time limit",
        consumer_timeout,
    ),
    Check(
        "GD604",
        Severity.WARNING,
        "Executions of iterable tasks that are longer than RabbitMQ's `consumer_timeout`",
        "RabbitMQ closes the channel, and Celery ends the worker. The run goes on elsewhere, but"
        " each time a worker is gone.",
        '`graceful_max_execution_time = "20m"`',
        executions_on_rabbitmq,
    ),
    Check(
        "GD605",
        Severity.NOTE,
        "A quorum queue without a dead-letter exchange (a warning if its limit is below 5)",
        "A message that came back too often is dropped: lost connections, closed channels and"
        " worker deaths count.",
        "a dead-letter exchange, or a higher `x-delivery-limit`, as argument or policy",
        deliveries,
    ),
)
