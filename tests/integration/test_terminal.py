"""The commands in a real terminal of several widths."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import uuid
from pathlib import Path

import pytest

from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import RunKey
from celery_graceful.model.run.verdict import Policy
from celery_graceful.runs.transition import transition
from celery_graceful.stores.url import open_store
from celery_graceful.text.terminal import cell_width

APP = """
from celery import Celery
from celery_graceful import Graceful

app = Celery("shop", broker="memory://", backend="cache+memory://")
app.conf.graceful_store = "sqlite:///{store}"
Graceful(app)
"""
TASKS = ("shop.catalogue.tasks.reindex_products", "日本.タスク")


@pytest.fixture
def ids(tmp_path: Path) -> list[str]:
    """Runs of two tasks, in a store that the app in ``tmp_path`` has."""
    place = tmp_path / "runs.sqlite3"
    (tmp_path / "shown_app.py").write_text(APP.format(store=place), encoding="utf-8")
    found = [str(uuid.uuid4()) for _ in range(6)]
    store = open_store(f"sqlite:///{place}", "shop", timeout=10)
    for number, run_id in enumerate(found):
        admit = ev.Admit(generation=0, owner="celery@worker-7d4f9b7c5/1", at=1.0)
        transition(store, RunKey(TASKS[number % 2], run_id), admit, Policy())
    store.close()
    return found


def typed(folder: Path, width: int, *words: str) -> list[str]:
    """What a terminal of this width shows."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    env = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    root = Path(__file__).resolve().parents[2]
    env |= {"PYTHONPATH": f"{folder}{os.pathsep}{root}", "PYTHONIOENCODING": "utf-8"}
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "shown_app", "graceful", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.STDOUT,
        env=env,
    )
    os.close(theirs)
    text = b""
    try:
        while part := os.read(ours, 65536):
            text += part
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(ours)
        assert process.wait(60) == 0, text.decode()
    return text.decode().splitlines()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_runs_fit_and_what_is_shown_can_be_typed(
    tmp_path: Path, ids: list[str], width: int
) -> None:
    lines = typed(tmp_path, width, "runs")
    assert max(map(cell_width, lines)) <= width, lines
    shown = [word for line in lines for word in re.findall(r"(?<!\S)[0-9a-f]{8}[0-9a-f-]*", line)]
    assert len(shown) == len(ids)
    for short in shown:
        assert len([run_id for run_id in ids if run_id.startswith(short)]) == 1
    if width == 80:
        whole = typed(tmp_path, width, "show", shown[0])
        assert any(line.split()[0] == "id" and line.split()[1] in ids for line in whole if line)
