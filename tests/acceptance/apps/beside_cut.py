"""A task that takes no heed of the stop, with processes beside it that note what they are told."""

from __future__ import annotations

import time
from pathlib import Path

from celery_graceful import background_process, ready
from tests.acceptance.apps.making import make_app, note

app = make_app("beside_cut")

_NOTES = "trap 'touch {0}/told; exit 0' TERM; echo up; while :; do sleep 600 & wait; done"
_OTHERS = "trap '' TERM; echo up; while [ ! -e {0}/leave ]; do sleep 0.02; done; touch {0}/left"
_STUBBORN = "trap '' TERM; echo up; while :; do sleep 600; done"
UP = ready.log_line("up")


@app.task(name="beside.cut", acks_late=True)
def cut(kind: str, folder: str) -> None:
    """Run until the worker cuts it off."""
    script = {"notes": _NOTES, "commanded": _OTHERS, "stubborn": _STUBBORN}[kind]
    command = ["sh", "-c", f"touch {Path(folder)}/leave"] if kind == "commanded" else None
    try:
        with background_process(
            ["sh", "-c", script.format(folder)], ready=UP, stop_command=command
        ):
            note(f"{kind} begins")
            while True:
                time.sleep(0.1)
    finally:
        note(f"{kind} ends")
