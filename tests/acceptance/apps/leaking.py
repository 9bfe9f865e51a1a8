"""Tasks that leave processes behind, and one that does not."""

from __future__ import annotations

import os
import subprocess
import time

from celery_graceful import background_process
from tests.acceptance.apps.making import make_app, note, noted

app = make_app("leaking")


@app.task(name="leaking.nothing")
def nothing() -> int:
    """Starts nothing; says who it ran in."""
    return os.getpid()


@app.task(name="leaking.waits")
def waits() -> str:
    """Starts a process and waits for it."""
    return subprocess.run(["echo", "done"], capture_output=True, text=True).stdout.strip()


@app.task(name="leaking.tunnel")
def tunnel(script: str) -> int:
    """The first half of the story: ``program &`` in a script, and nobody to end it."""
    code = f"{script} >/dev/null 2>&1 & echo $!"
    return int(subprocess.run(["sh", "-c", code], capture_output=True, text=True).stdout)


@app.task(name="leaking.fails")
def fails(seconds: int) -> None:
    """A child whose end nobody waits for, since the next command fails."""
    os.posix_spawnp("sleep", ["sleep", str(seconds)], os.environ)
    raise RuntimeError("the next command")


@app.task(name="leaking.beside")
def beside(secret: str) -> None:
    """A process beside it, until the test has seen it; a plain task cannot stop in between."""
    with background_process(["sh", "-c", "exec sleep 600", f"--password={secret}"]) as process:
        note(process.pid)
        while not noted("enough"):
            time.sleep(0.02)
