"""What is left out, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from celery_graceful.doctor.checks.check import Facts
from celery_graceful.doctor.checks.worker_view import WorkerView
from celery_graceful.doctor.examine import examine, findings_of
from celery_graceful.doctor.facts import AppFacts, Deployed, Kind, Manager, TaskFacts
from celery_graceful.doctor.facts.running_workers import Seen
from celery_graceful.doctor.finding import Severity, exit_code, in_order
from celery_graceful.doctor.readers import read_text
from tests.unit.doctor import sound


def test_workers_of_other_apps_are_left_out() -> None:
    other = sound.KUBERNETES.replace('"shop", "worker"', '"mail", "worker", "--purge"')
    ours = read_text(sound.UNIT, "shop.service")
    theirs = read_text(other, "mail.yaml")
    (note,) = examine(sound.APP, [ours, theirs], asked_for="shop").findings
    assert (note.id, note.severity, note.file) == ("GD003", Severity.NOTE, "mail.yaml")
    # With none of ours, nothing was examined.
    (warning,) = examine(sound.APP, [theirs], asked_for="shop").findings
    assert warning.severity is Severity.WARNING


def test_a_worker_is_judged_by_the_tasks_of_its_queues() -> None:
    slow = TaskFacts("shop.export", Kind.PLAIN, "slow", True, True, time_limit=3600)
    app = replace(sound.APP, tasks=(*sound.APP.tasks, slow))
    assert examine(app, [read_text(sound.KUBERNETES, "w.yaml")]).findings == ()
    on_slow = sound.KUBERNETES.replace('"-n"', '"-Q", "celery,slow", "-n"')
    (finding,) = examine(app, [read_text(on_slow, "w.yaml")]).findings
    assert finding.id == "GD105"
    assert finding.fix.startswith("terminationGracePeriodSeconds: 3620; or ")


def test_a_grace_period_for_files_that_do_not_tell_it() -> None:
    outcome = read_text(sound.DOCKERFILE, "Dockerfile")
    facts = Facts(sound.APP, outcome.workers)
    assert list(findings_of(facts)) == []
    assert [each.id for each in findings_of(facts, grace=10)] == ["GD105"]


def view(worker: Deployed, app: AppFacts = sound.APP) -> WorkerView:
    return WorkerView(worker, Facts(app))


@pytest.mark.parametrize("value", ["0", "0s", "off"])
def test_a_worker_that_was_told_of_no_period_knows_none(value: str) -> None:
    text = sound.KUBERNETES.replace("value: 55s", f'value: "{value}"')
    (worker,) = read_text(text, "w.yaml").workers
    assert worker.environment["GRACEFUL_GRACE_PERIOD"].value == value
    assert view(worker).given_period is None
    assert not view(worker).knows_period
    assert not view(replace(worker, manager=Manager.SYSTEMD)).knows_period, "nobody is asked then"
    assert view(worker, replace(sound.APP, grace_period=60.0)).knows_period


def test_a_period_that_a_worker_asks_for_cuts_no_plain_task_off() -> None:
    (worker,) = read_text(sound.UNIT, "shop.service").workers
    assert view(worker).knows_period
    assert not view(worker).cuts_plain_tasks
    told_app = replace(sound.APP, grace_period=60.0)
    assert view(worker, told_app).cuts_plain_tasks
    seen = Seen(longest={"shop.mail": 90.0})
    (asked,) = findings_of(Facts(sound.APP, (worker,), seen=seen))
    assert "it would be killed, and start again when the broker redelivers it" in asked.what
    (told,) = findings_of(Facts(told_app, (worker,), seen=seen))
    assert "it would be cut off, and start again in another worker" in told.what


@pytest.mark.parametrize(
    ("late", "longest", "severities"),
    [
        (False, 41.0, {"GD104": Severity.WARNING, "GD105": Severity.NOTE}),
        (True, 41.0, {"GD104": Severity.NOTE, "GD105": Severity.NOTE}),
        (True, 10.0, {"GD105": Severity.NOTE}),
    ],
)
def test_a_graceful_task_may_heed_the_stop(
    late: bool, longest: float, severities: dict[str, Severity]
) -> None:
    task = TaskFacts("shop.mail", Kind.GRACEFUL, "celery", late, True, time_limit=80)
    app = replace(sound.APP, tasks=(task,))
    outcome = read_text(sound.SUPERVISORD.replace("stopwaitsecs=60", "stopwaitsecs=30"), "s.conf")
    found = examine(app, [outcome], Seen(longest={"shop.mail": longest})).findings
    assert {each.id: each.severity for each in found} == severities
    assert all("make shop.mail check stopping()" in each.fix for each in found)


def test_a_signal_to_the_group_is_worse_with_plain_tasks() -> None:
    outcome = read_text(sound.UNIT.replace("KillMode=mixed\n", ""), "w.service")
    (error,) = examine(sound.APP, [outcome]).findings
    assert error.severity is Severity.ERROR
    runs_only = replace(sound.APP, tasks=sound.APP.tasks[:1])
    (warning,) = examine(runs_only, [outcome]).findings
    assert warning.severity is Severity.WARNING


def test_a_pool_without_children_has_none_to_be_killed() -> None:
    unit = sound.UNIT.replace("KillMode=mixed\n", "")
    assert examine(sound.APP, [read_text(unit, "w.service")]).findings
    threads = unit.replace("--loglevel=INFO", "-P threads")
    assert examine(sound.APP, [read_text(threads, "w.service")]).findings == ()


def test_order_and_exit_codes() -> None:
    def ids(text: str, file: str) -> list[str]:
        return [each.id for each in examine(sound.APP, [read_text(text, file)]).findings]

    text = sound.KUBERNETES.replace('"worker@%h"]', '"worker@shop", "--purge"]')
    findings = examine(sound.APP, [read_text(text, "w.yaml")]).findings
    assert [each.severity for each in findings] == [Severity.ERROR, Severity.WARNING]
    assert in_order([*reversed(findings), *findings]) == list(findings)
    assert (exit_code(findings), exit_code(findings[1:]), exit_code([])) == (20, 10, 0)
    assert str(findings[0]).startswith("GD305 w.yaml:24: Deployment shop-worker")
    assert ids(sound.KUBERNETES, "w.yaml") == []
