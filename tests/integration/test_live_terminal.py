"""Live tables in a real terminal: its size, Ctrl-C, kill, the last frame."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from celery_graceful.model.run import events as ev
from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.model.run.record import RunKey
from celery_graceful.model.run.verdict import Policy
from celery_graceful.runs.transition import transition
from celery_graceful.stores.url import open_store
from celery_graceful.text.terminal import cell_width
from tests.harness.terminals import CURSOR_ON, OTHER_SCREEN, USUAL_SCREEN, Terminal

APP = """
from celery import Celery
from celery_graceful import Graceful

app = Celery("shop", broker="memory://", backend="cache+memory://")
app.conf.graceful_store = "sqlite:///{store}"
Graceful(app)
"""
NAME = "live_app"
CODES = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")
COLOURS = re.compile(r"\x1b\[[0-9;]*3[0-9][0-9;]*m")


def project(folder: Path) -> None:
    """An app in ``folder`` with a run under way, and one that is paused."""
    place = folder / "runs.sqlite3"
    (folder / f"{NAME}.py").write_text(APP.format(store=place), encoding="utf-8")
    store = open_store(f"sqlite:///{place}", "shop", timeout=10)
    for number in range(2):
        key = RunKey("shop.catalogue.tasks.reindex_products", f"{number}f6f2c52-1b1f-4c55")
        done = transition(store, key, ev.Admit(generation=0, owner="celery@w1/a", at=1.0), Policy())
        assert done.record is not None
        saved = encode(Checkpoint(cursor=41, carry={}, steps=42, total=100))
        store.checkpoint(key, done.record.fence, saved, 42, due_in=300)
    assert done.record is not None
    left = ev.HandOver(done.record.fence, saved, 42, "paused", pauses=True)
    transition(store, key, left, Policy())
    store.close()


def test_ctrl_c_leaves_the_last_frame(tmp_path: Path) -> None:
    project(tmp_path)
    words = ("runs", "--watch", "--interval", "0.3s")
    with Terminal(tmp_path, NAME, words, (80, 24)) as terminal:
        first = terminal.until(OTHER_SCREEN, "paused by an operator")
        assert COLOURS.search(first)
        assert "worker" not in first
        terminal.resize((140, 24))
        wider = terminal.until("\x1b[2J", "worker", "celery@w1")
        assert "live_app graceful resume 1f6f2c52" in wider
        assert terminal.end() == 130
        _, _, last = terminal.text.rpartition(USUAL_SCREEN)
    assert CURSOR_ON in terminal.text
    lines = CODES.sub("", last).splitlines()
    assert lines[0].startswith("Runs of shop")
    assert any(re.match(r"running .* 42% .*42/100", line) for line in lines), lines
    assert max(map(cell_width, lines)) <= 140


def test_kill_gives_the_terminal_back(tmp_path: Path) -> None:
    project(tmp_path)
    words, env = ("status", "--watch", "--interval", "0.3s"), {"NO_COLOR": "1"}
    with Terminal(tmp_path, NAME, words, (80, 24), env) as terminal:
        terminal.until(OTHER_SCREEN, "No worker is there.")
        assert terminal.end(signal.SIGTERM) == -signal.SIGTERM
        before, _, last = terminal.text.rpartition(USUAL_SCREEN)
    assert before.endswith(CURSOR_ON)
    assert "Nothing is held" in last
    assert not COLOURS.search(terminal.text)
