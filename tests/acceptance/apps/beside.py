"""Tasks with a process beside them, of every kind; they go on until somebody ends them."""

from __future__ import annotations

from celery_graceful import at_task_exit, background_process, ready, sleep
from celery_graceful.processes.start_options import Ready
from tests.acceptance.apps.making import make_app, note, noted
from tests.integration.processes.children import CHILDREN

app = make_app("beside")

GRACE = 1.0


@app.task(name="beside.hold")
def hold(kind: str, tag: str, ready_timeout: float, error: str = "", grace: float = GRACE) -> str:
    """Hold a process until ``enough`` is noted, or the worker stops; then fail, if told to."""
    at_task_exit(note, f"{tag} exits")
    child = CHILDREN[kind]
    if child.never_ready:
        note(f"{tag} begins")
    check: Ready | None = (
        ready.path("/nonexistent") if child.never_ready else ready.log_line("up|y")
    )
    if child.ends_with is not None:
        check = None  # it would have ended before it is ready
    with background_process(
        ["sh", "-c", child.script], ready=check, ready_timeout=ready_timeout, grace=grace
    ) as process:
        note(f"{tag} begins")
        while not noted("enough") and not sleep(0.05):
            pass
        while child.ends_with is not None and process.returncode is None:
            sleep(0.01)
        if error:
            raise KeyError(error)
    return tag
