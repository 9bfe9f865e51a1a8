"""Facts from real apps, and what the checks find in them at a worker's start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, _state
from kombu import Queue

from celery_graceful import Graceful, GracefulTask, IterableTask, plugin
from celery_graceful.doctor.examine import examine
from celery_graceful.doctor.facts import Kind, QueueFacts
from celery_graceful.doctor.facts.app_configuration import STEP, app_facts
from celery_graceful.doctor.facts.running_workers import Seen
from celery_graceful.doctor.finding import Severity
from celery_graceful.doctor.startup import configuration_findings


def app_with(**settings: Any) -> Celery:
    """A shop with one task of each kind."""
    app = Celery("shop", broker="redis://localhost/0", set_as_current=False)
    app.conf.update(settings)
    Graceful(app)

    @app.task(base=IterableTask, shared=False, name="shop.import")
    def import_rows(path: str, *, cursor: int | None = None) -> Iterator[int]:
        yield 1

    @app.task(base=GracefulTask, shared=False, name="shop.poll")
    def poll() -> None: ...

    @app.task(shared=False, name="shop.mail", time_limit=300)
    def mail() -> None: ...

    app.finalize()
    return app


@pytest.fixture(autouse=True)
def _no_tasks_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other modules of this process share tasks with every app."""
    monkeypatch.setattr(_state, "_on_app_finalizers", set())


def test_tasks_with_what_the_app_says_for_all() -> None:
    facts = app_facts(app_with(task_acks_late=True, task_soft_time_limit=200))
    assert facts.name == "shop"
    assert facts.broker == "redis"
    by_name = {task.name: task for task in facts.tasks}
    assert {name: task.kind for name, task in by_name.items()} == {
        "shop.import": Kind.ITERABLE,
        "shop.poll": Kind.GRACEFUL,
        "shop.mail": Kind.PLAIN,
    }
    mail, rows = by_name["shop.mail"], by_name["shop.import"]
    assert (mail.time_limit, mail.soft_time_limit, mail.longest) == (300, 200, 200)
    assert mail.acks_late
    assert not mail.reject_on_worker_lost
    assert mail.queue == "celery"
    assert rows.reject_on_worker_lost
    assert (rows.max_execution_time, rows.max_execution_time_is_given) == (160, False)


def test_queues_and_routes() -> None:
    facts = app_facts(
        app_with(
            broker_url="amqp://localhost",
            task_queues=[
                Queue("celery"),
                Queue(
                    "slow",
                    queue_arguments={
                        "x-queue-type": "quorum",
                        "x-delivery-limit": 3,
                        "x-consumer-timeout": 7_200_000,
                    },
                ),
            ],
            task_routes={"shop.mail": {"queue": "slow"}},
        )
    )
    assert facts.broker == "amqp"
    assert facts.consumed_by_default == {"celery", "slow"}
    slow = facts.queues[1]
    assert (slow.quorum, slow.delivery_limit, slow.consumer_timeout) == (True, 3, 7200)
    assert next(task.queue for task in facts.tasks if task.name == "shop.mail") == "slow"


def test_quorum_queues_that_celery_makes_by_itself() -> None:
    rabbit = {"broker_url": "amqp://localhost", "task_routes": {"shop.mail": {"queue": "slow"}}}
    assert app_facts(app_with(**rabbit)).queues == ()
    quorum = app_with(**rabbit, task_default_queue_type="quorum")
    assert app_facts(quorum).queues == (QueueFacts("celery", quorum=True),)
    assert "GD605" in ids(quorum)
    missing = app_facts(app_with(**rabbit, task_create_missing_queue_type="quorum"))
    assert missing.queues == (QueueFacts("slow", quorum=True),)
    assert missing.consumed_by_default == {"celery"}


def test_a_route_to_a_queue_that_is_not_declared_makes_none() -> None:
    app = app_with(task_routes={"shop.m*": {"queue": "slow"}, "shop.poll": "other"})
    routed = {task.name: task.queue for task in app_facts(app).tasks}
    assert routed == {"shop.import": "celery", "shop.mail": "slow", "shop.poll": "other"}
    assert list(app.amqp.queues) == ["celery"]


@pytest.mark.parametrize(
    ("url", "kind", "path"),
    [
        ("redis://:secret@host/1", "redis", ""),
        ("sqlite:////var/lib/runs.sqlite3", "sqlite", "/var/lib/runs.sqlite3"),
        ("sqlite:///runs.sqlite3", "sqlite", "runs.sqlite3"),
        ("postgresql+psycopg://host/database", "sql", ""),
        ("memory://", "memory", ""),
    ],
)
def test_the_store(url: str, kind: str, path: str) -> None:
    facts = app_facts(app_with(graceful_store=url))
    assert (facts.store, facts.store_path) == (kind, path)
    assert "secret" not in facts.store_url


@pytest.mark.parametrize(
    ("url", "kind", "timeout"),
    [
        ("redis://localhost/0", "redis", 3600),
        ("sentinel://localhost:26379;sentinel://other:26379", "redis", 3600),
        ("amqps://user:password@host//", "amqp", 3600),
        ("sqs://", "sqs", 1800),
        ("memory://", "memory", 3600),
    ],
)
def test_the_broker(url: str, kind: str, timeout: float) -> None:
    app = app_with(broker_url=url, graceful_store="redis://localhost/1")
    facts = app_facts(app)
    assert (facts.broker, facts.visibility_timeout) == (kind, timeout)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"broker_url": "sentinel://:hidden@host"}, ["GD807", "derived from broker_url"]),
        ({"broker_url": "redis://:hidden@host/zero"}, ["GD807", "broker_url"]),
        ({"broker_url": "redis://?credential_provider=no.such"}, ["GD807", "named 'no'"]),
        ({"graceful_store": "sentinel://:hidden@host"}, ["GD807", "graceful_store_options"]),
        (
            {
                "graceful_store": "redis://:hidden@host",
                "graceful_store_options": {"colour": "hidden"},
            },
            ["GD807", "colour"],
        ),
        ({"broker_url": "redis://a;redis://:hidden@b"}, ["GD808", "set graceful_store"]),
        (
            {
                "broker_url": "rediss://:hidden@host",
                "broker_use_ssl": {"ssl_ca_certs": "/no/ca.pem", "ssl_cert_reqs": 2},
            },
            ["GD809", "/no/ca.pem"],
        ),
        (
            {
                "broker_url": "amqp://",
                "graceful_store": "rediss+cluster://:hidden@host",
                "graceful_store_options": {"ssl_keyfile": "/no/key.pem"},
            },
            ["GD809", "/no/key.pem"],
        ),
    ],
)
def test_what_the_store_is_connected_with(settings: dict[str, Any], words: list[str]) -> None:
    """Nothing is connected to; ``.invalid`` names would take their time."""
    given = configuration_findings(app_with(**settings), environ={})
    (found,) = [str(finding) for finding in given if finding.id >= "GD807"]
    for word in words:
        assert word.lower() in found.lower()
    assert "hidden" not in found


# -- at a worker's start ---------------------------------------------------------------------


def ids(app: Celery, **given: Any) -> list[str]:
    return [each.id for each in configuration_findings(app, environ={}, **given)]


def test_an_app_as_most_begin_has_nothing_to_be_told_of() -> None:
    assert ids(app_with()) == []
    assert ids(app_with(), grace=310) == []


def test_the_grace_period_against_what_may_run() -> None:
    (finding,) = configuration_findings(app_with(), grace=30, environ={})
    assert (finding.id, finding.where) == ("GD105", "graceful_grace_period")
    assert "shop.mail allows 5m" in finding.what
    assert finding.fix
    assert ids(app_with(), grace=30, queues=("mails",)) == []
    assert ids(app_with(), grace=30, pool="threads") == ["GD105"]
    slow = Seen(items={"shop.import": 31.0})
    assert ids(app_with(), grace=310, seen=slow) == []
    assert ids(app_with(), grace=30, seen=slow) == ["GD106", "GD105"]


def test_a_soft_shutdown_by_the_environment() -> None:
    app = app_with(worker_soft_shutdown_timeout=5)
    (found,) = configuration_findings(app, environ={"REMAP_SIGTERM": "SIGQUIT"})
    assert (found.id, found.where) == ("GD501", "task_acks_late")
    assert "acked early: shop.mail" in found.what
    assert ids(app) == ["GD503"]
    assert "shop.poll" not in found.what  # it hears of the stop, and has five seconds
    late = app_with(worker_soft_shutdown_timeout=5, task_acks_late=True)
    assert configuration_findings(late, environ={"REMAP_SIGTERM": "SIGQUIT"}) == []
    wrong = configuration_findings(app_with(), environ={"REMAP_SIGTERM": "QUIT"})
    assert [each.id for each in wrong] == ["GD212"]


@pytest.mark.parametrize(
    ("bad", "good", "finds"),
    [
        (
            {"broker_url": "amqp://", "graceful_store": "redis://localhost"},
            {"graceful_max_execution_time": "20m"},
            "GD604",
        ),
        (
            {"task_time_limit": 60, "graceful_max_execution_time": 90},
            {"task_time_limit": 120},
            "GD703",
        ),
        (
            {"task_time_limit": 60, "task_soft_time_limit": 60},
            {"task_soft_time_limit": 50},
            "GD702",
        ),
        (
            {"result_backend": "redis://localhost", "result_expires": 60},
            {"result_expires": 600},
            "GD701",
        ),
        (
            {
                "task_acks_late": True,
                "graceful_renew_visibility": False,
                "broker_transport_options": {"visibility_timeout": 120},
            },
            {"graceful_renew_visibility": True},
            "GD601",
        ),
    ],
)
def test_configurations_and_their_fixed_twins(
    bad: dict[str, Any], good: dict[str, Any], finds: str
) -> None:
    assert ids(app_with(**bad)) == [finds]
    assert ids(app_with(**{**bad, **good})) == []


def test_a_task_that_is_acked_late_is_handed_over_in_time() -> None:
    late = app_with(task_acks_late=True)
    (note,) = configuration_findings(late, grace=30, environ={})
    assert (note.id, note.severity) == ("GD105", Severity.NOTE)
    slow = Seen(longest={"shop.mail": 25.0})  # cut off after 24 s
    (warning,) = configuration_findings(
        app_with(task_acks_late=True, task_time_limit=20), grace=30, environ={}, seen=slow
    )[:1]
    assert (warning.id, warning.severity) == ("GD104", Severity.WARNING)
    assert "cut off, and start again in another worker" in warning.what
    (error,) = configuration_findings(app_with(), grace=30, environ={}, seen=slow)[:1]
    assert (error.id, error.severity) == ("GD104", Severity.ERROR)
    assert "shop.mail would be cut off and lost" in error.what
    within = configuration_findings(late, grace=32, environ={}, seen=slow)
    assert [each.id for each in within] == ["GD105"]


def django_app(namespace: str | None = "CELERY", **settings: Any) -> Celery:
    """An app that reads Django's settings, as Celery's documentation has it."""
    from django.conf import settings as django_settings

    if not django_settings.configured:
        django_settings.configure()
    app = Celery("shop", broker="redis://localhost/0", set_as_current=False)
    app.config_from_object("django.conf:settings", namespace=namespace)
    app.conf.update(settings)
    Graceful(app)

    @app.task(base=IterableTask, shared=False, name="shop.import")
    def import_rows(*, cursor: int | None = None) -> Iterator[int]:
        yield 1

    @app.task(shared=False, name="shop.mail", acks_late=True, time_limit=7200)
    def mail() -> None: ...

    app.finalize()
    return app


def fixes(app: Celery, **given: Any) -> str:
    return " ".join(each.fix for each in configuration_findings(app, **given))


def test_settings_are_written_as_django_users_write_them() -> None:
    given: dict[str, Any] = {
        "graceful_renew_visibility": False,
        "result_backend": "redis://",
        "result_expires": 60,
    }
    told = fixes(django_app(**given), grace=30.0)
    assert "CELERY_GRACEFUL_RENEW_VISIBILITY = True" in told
    assert "CELERY_RESULT_EXPIRES = " in told
    assert "app.conf" not in told
    told = fixes(app_with(task_time_limit=7200, task_acks_late=True, **given))
    assert "app.conf.graceful_renew_visibility = True" in told
    assert "CELERY_" not in told


@pytest.mark.parametrize(
    ("namespace", "prefix"), [("CELERY", "CELERY_"), ("shop", "SHOP_"), ("X_", "X_"), (None, "")]
)
def test_the_prefix_of_settings(namespace: str | None, prefix: str) -> None:
    app = Celery("shop", set_as_current=False, namespace=namespace)
    assert app_facts(app).settings_prefix == prefix


def test_an_app_without_the_plugin() -> None:
    app = Celery("shop", broker="redis://localhost/0", set_as_current=False)

    @app.task(base=IterableTask, shared=False, name="shop.import")
    def import_rows(*, cursor: int | None = None) -> Iterator[int]:
        yield 1

    app.finalize()
    facts = app_facts(app)
    assert not facts.plugged
    (finding,) = examine(facts).findings
    assert (finding.id, finding.severity) == ("GD010", Severity.ERROR)
    assert "shop.import" in finding.what
    assert finding.fix == "graceful = Graceful(app)"
    Graceful(app)
    assert examine(app_facts(app)).findings == ()


def test_plain_tasks_need_no_plugin() -> None:
    app = Celery("shop", broker="redis://localhost/0", set_as_current=False)

    @app.task(shared=False, name="shop.mail")
    def mail() -> None: ...

    app.finalize()
    assert examine(app_facts(app)).findings == ()


def test_the_step_is_the_one_that_the_plugin_adds() -> None:
    assert STEP == plugin.STEP
