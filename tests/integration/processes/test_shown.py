"""What operators see of background processes on their host."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from celery import Celery
from click.testing import CliRunner, Result

from celery_graceful import Graceful, background_process
from celery_graceful.cli import graceful


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Celery:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # a ledger of its own
    app = Celery("shown", broker="memory://", set_as_current=False)
    app.conf.graceful_store = f"sqlite:///{tmp_path}/runs.sqlite3"
    Graceful(app)
    return app


def ask(app: Celery, *words: str) -> Result:
    context = SimpleNamespace(app=app)
    return CliRunner().invoke(graceful, words, obj=context, catch_exceptions=False)


@pytest.mark.parametrize("command", [["status"], ["doctor", "--no-workers"]])
def test_status_and_doctor_show_the_ledger(app: Celery, command: list[str]) -> None:
    with background_process(["sleep", "1234.5"]):
        shown = ask(app, *command).stdout
        (line,) = (each for each in shown.splitlines() if "sleep 1234.5" in each)
        assert f"pid {os.getpid()}" in line
        assert line.split()[2] == "-", "no task"
        data = json.loads(ask(app, *command, "--json").stdout)
        (entry,) = (each for each in data["processes"] if each["command"] == "sleep 1234.5")
        assert entry["owner"] == os.getpid()
    assert "sleep 1234.5" not in ask(app, *command).stdout
