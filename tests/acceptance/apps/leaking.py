"""Tasks that leave processes behind, and one that does not."""

from __future__ import annotations

import os
import subprocess

from tests.acceptance.apps.making import make_app

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
