"""An application without the plugin: notes items in a ledger, holds on for a while."""

from __future__ import annotations

import os
import subprocess
import time

from celery import Celery

from tests.harness.ledger import Ledger

app = Celery("trivial", broker=os.environ.get("BROKER_URL"), backend=os.environ.get("RESULT_URL"))
app.conf.broker_connection_retry_on_startup = True


@app.task
def note(item: int) -> int:
    """Note one item; returns the pid that did it."""
    Ledger(os.environ["LEDGER"]).add(item)
    return os.getpid()


@app.task
def hold(seconds: float) -> None:
    """Note that it began, then sleep."""
    Ledger(os.environ["LEDGER"]).add("begin")
    time.sleep(seconds)


@app.task
def leave_daemon() -> int:
    """Start a process that leaves the group and outlives its parent; returns its pid."""
    return subprocess.Popen(["sleep", "300"], start_new_session=True).pid
