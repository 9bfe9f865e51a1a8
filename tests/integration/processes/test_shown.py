"""What operators see of background processes on their host."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import celery
import pytest
from celery import Celery
from click.testing import CliRunner, Result

from celery_graceful import Graceful, background_process
from celery_graceful._celery.task.current_app import current_app_if_any
from celery_graceful.cli import graceful
from celery_graceful.processes import current_task, registry


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    before: Any = current_app_if_any()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # a registry of its own
    app = Celery("shown", broker="memory://", set_as_current=False)
    app.conf.graceful_store = f"sqlite:///{tmp_path}/runs.sqlite3"
    Graceful(app)
    app.set_current()
    yield app
    (before or celery.current_app).set_current()


def ask(app: Celery, *words: str) -> Result:
    context = SimpleNamespace(app=app)
    return CliRunner().invoke(graceful, words, obj=context, catch_exceptions=False)


@pytest.mark.parametrize("command", [["status"], ["doctor", "--no-workers"]])
def test_status_and_doctor_show_the_registry(app: Celery, command: list[str]) -> None:
    with background_process(["sleep", "1234.5"]):
        shown = ask(app, *command).stdout
        (line,) = (each for each in shown.splitlines() if "sleep 1234.5" in each)
        assert f"pid {os.getpid()}" in line
        assert line.split()[2] == "-", "no task"
        data = json.loads(ask(app, *command, "--json").stdout)
        (entry,) = (each for each in data["processes"] if each["command"] == "sleep 1234.5")
        assert entry["owner"] == os.getpid()
    assert "sleep 1234.5" not in ask(app, *command).stdout


@pytest.mark.parametrize("command", [["status"], ["doctor", "--no-workers"]])
def test_processes_of_other_apps_of_the_same_user_are_not_shown(
    app: Celery, command: list[str]
) -> None:
    other = Celery("other", broker="memory://", set_as_current=False)
    other.conf.graceful_namespace = "theirs"

    @other.task(shared=False)
    def tunnel() -> None:
        with background_process(["sleep", "1234.6"]):
            assert "sleep 1234.6" not in ask(app, *command).stdout
            assert json.loads(ask(app, *command, "--json").stdout)["processes"] == []
            (entry,) = registry.entries("theirs")
            assert (entry.command, entry.task) == ("sleep 1234.6", tunnel.name)

    tunnel.apply(throw=True)


def test_of_a_process_without_an_app_nobody_says_that_it_is_theirs(
    app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(current_task, "current_app_if_any", lambda: None)
    with background_process(["sleep", "1234.7"]):
        assert "sleep 1234.7" not in ask(app, "status").stdout
        assert [entry.app for entry in registry.entries()] == [""]
