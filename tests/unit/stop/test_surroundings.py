"""The worker's grace period, from the setting, the environment, or its manager."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from celery_graceful.errors import SettingsError
from celery_graceful.grace.deadlines import Grace, Period, Silent, margin_of
from celery_graceful.grace.surroundings import READERS, find_grace
from celery_graceful.grace.systemd import ask


def says(seconds: float, source: str = "a manager"):  # type: ignore[no-untyped-def]
    return lambda environ, patience: Period(seconds, source)


def absent(environ: Mapping[str, str], patience: float) -> Period | None:
    return None


def silent(environ: Mapping[str, str], patience: float) -> Period | None:
    raise Silent("it does not say")


def broken(environ: Mapping[str, str], patience: float) -> Period | None:
    raise ZeroDivisionError


def test_the_setting_wins() -> None:
    found = find_grace(60, None, {"GRACEFUL_GRACE_PERIOD": "30"}, readers=[says(10)])
    assert found == Grace(60, margin_of(60), "graceful_grace_period")


@pytest.mark.parametrize("text", ["30", "30s", " 30S ", "0.5m"])
def test_the_variable_comes_next(text: str) -> None:
    found = find_grace(None, None, {"GRACEFUL_GRACE_PERIOD": text}, readers=[says(10)])
    assert found == Grace(30, margin_of(30), "GRACEFUL_GRACE_PERIOD")


@pytest.mark.parametrize("text", ["0", "off", "OFF", "0s"])
def test_the_variable_can_say_that_there_is_none(text: str) -> None:
    environ = {"GRACEFUL_GRACE_PERIOD": text}
    assert find_grace(None, None, environ, readers=[says(10)]) is None


def test_an_empty_variable_says_nothing() -> None:
    found = find_grace(None, None, {"GRACEFUL_GRACE_PERIOD": ""}, readers=[says(10)])
    assert found == Grace(10, margin_of(10), "a manager", learnt=True)


@pytest.mark.parametrize("text", ["soon", "-5", "30x", "inf"])
def test_a_wrong_variable_is_an_error_that_names_it(text: str) -> None:
    with pytest.raises(SettingsError, match="GRACEFUL_GRACE_PERIOD is wrong") as refused:
        find_grace(None, None, {"GRACEFUL_GRACE_PERIOD": text})
    assert text in str(refused.value)


def test_the_margin_of_the_setting_is_taken_and_never_longer_than_the_period() -> None:
    assert find_grace(30, 12, {}) == Grace(30, 12, "graceful_grace_period")
    assert find_grace(5, 12, {}) == Grace(5, 5, "graceful_grace_period")


def test_of_managers_inside_each_other_the_shortest_counts() -> None:
    found = find_grace(None, 1, {}, readers=[says(20, "inner"), absent, says(10, "outer")])
    assert found == Grace(10, 1, "outer", learnt=True)


@pytest.mark.parametrize("mute", [silent, broken])
def test_one_that_does_not_tell_makes_those_around_it_worthless(mute: object) -> None:
    assert find_grace(None, None, {}, readers=[absent, mute, says(90)]) is None  # type: ignore[list-item]
    found = find_grace(None, 1, {}, readers=[says(5), mute, says(90)])  # type: ignore[list-item]
    assert found == Grace(5, 1, "a manager", learnt=True)


@pytest.mark.parametrize("seconds", [float("inf"), 0.0])
def test_a_period_without_an_end_is_none(seconds: float) -> None:
    assert find_grace(None, None, {}, readers=[says(seconds)]) is None


def test_outside_of_any_manager_nothing_is_known() -> None:
    assert find_grace(None, None, {"PATH": os.environ["PATH"]}) is None


@pytest.mark.parametrize(
    ("environ", "seconds", "source"),
    [({"HONCHO_PROCESS_NAME": "worker.1"}, 5, "honcho"), ({"DYNO": "worker.1"}, 30, "Heroku")],
)
def test_managers_that_have_one_period_are_known_by_a_variable(
    environ: dict[str, str], seconds: float, source: str
) -> None:
    found = find_grace(None, None, environ)
    assert found is not None
    assert (found.seconds, found.source) == (seconds, source)


def test_all_questions_together_have_three_seconds() -> None:
    patiences: list[float] = []

    def slow(environ: Mapping[str, str], patience: float) -> Period | None:
        patiences.append(patience)
        time.sleep(0.3)
        return None

    find_grace(None, None, {}, readers=[slow, slow])
    assert patiences[0] <= 3
    assert patiences[1] <= patiences[0] - 0.25


def test_every_reader_is_asked_in_order_of_nearness() -> None:
    names = [reader.__module__.rpartition(".")[2] for reader in READERS]
    assert names == ["surroundings", "supervisord", "systemd", "kubernetes", "surroundings"]


def test_a_worker_under_a_unit_whose_systemctl_hangs_starts_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program = tmp_path / "systemctl"
    program.write_text("#!/bin/sh\nexec sleep 30\n")
    program.chmod(0o755)
    cgroup = tmp_path / "cgroup"
    cgroup.write_text("0::/system.slice/shop-worker.service\n")
    environ = {"INVOCATION_ID": "1", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    began = time.monotonic()
    assert find_grace(None, None, environ, readers=[lambda e, p: ask(e, p, cgroup)]) is None
    assert time.monotonic() - began < 15
    assert [(r.levelname, "timed out" in r.getMessage()) for r in caplog.records] == [
        ("WARNING", True)
    ]


def test_who_refuses_is_no_reason_for_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "celery_graceful.stop")
    assert find_grace(None, None, {}, readers=[silent]) is None
    assert [(r.levelname, "does not say" in r.getMessage()) for r in caplog.records] == [
        ("DEBUG", True)
    ]
