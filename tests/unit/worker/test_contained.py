"""Steps of the plugin that raise."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from celery_graceful.errors import SettingsError
from celery_graceful.worker.contained import ContainedStep, failure_of


class Lost(ConnectionError):
    """What a broker's transport raises."""


def step_that(raises: Exception, at: str, *, is_vital: bool = True) -> type[ContainedStep]:
    def method(self: Any, parent: Any, **options: Any) -> None:
        raise raises

    return type("Step", (ContainedStep,), {at: method, "vital": is_vital})


def run(kind: type[ContainedStep], worker: Any) -> None:
    """What Celery calls, in its order."""
    step = kind(worker)
    for name in ("create", "start", "close", "stop"):
        getattr(step, name)(worker)


@pytest.mark.parametrize("at", ["__init__", "create", "start"])
@pytest.mark.parametrize(
    "raised", [SettingsError("graceful_store is wrong"), KeyError("x"), ImportError("no driver")]
)
def test_a_fault_is_logged_once_and_ends_nothing(
    at: str, raised: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    worker = SimpleNamespace(steps=[])
    run(step_that(raised, at), worker)
    run(step_that(ValueError("later"), "start"), worker)
    assert str(raised.args[0]) in failure_of(worker)
    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "could not start on this worker" in line.getMessage()
    assert str(raised.args[0]) in line.getMessage()
    assert (line.exc_info is None) is isinstance(raised, SettingsError)


def test_a_fault_at_the_start_of_one_that_has_its_gate_stops_runs() -> None:
    stopped: list[bool] = []
    maintenance = SimpleNamespace(stop_runs=lambda: stopped.append(True))
    worker = SimpleNamespace(steps=[], graceful_maintenance=maintenance)
    run(step_that(KeyError("x"), "start"), worker)
    assert stopped == [True]
    ran: list[str] = []
    later = type("Later", (ContainedStep,), {"start": lambda self, parent: ran.append("later")})
    run(later, worker)
    assert ran == ["later"], "the mode is followed, and other steps do not rely on the one"


def test_a_step_that_runs_need_not_have_stops_none(caplog: pytest.LogCaptureFixture) -> None:
    worker = SimpleNamespace(steps=[])
    run(step_that(KeyError("x"), "start", is_vital=False), worker)
    assert failure_of(worker) == ""
    assert "Step: " in caplog.text


def test_a_lost_connection_is_left_to_celery() -> None:
    consumer = SimpleNamespace(
        steps=[],
        controller=SimpleNamespace(),
        connection_errors=(Lost,),
        channel_errors=(),
    )
    step = step_that(Lost(), "start")(consumer)
    with pytest.raises(Lost):
        step.start(consumer)
    assert failure_of(consumer.controller) == ""


@pytest.mark.parametrize("raised", [SystemExit(0), KeyboardInterrupt()])
def test_what_ends_a_worker_ends_it(raised: BaseException) -> None:
    step = step_that(raised, "start")(SimpleNamespace(steps=[]))  # type: ignore[arg-type]
    with pytest.raises(type(raised)):
        step.start(SimpleNamespace())
