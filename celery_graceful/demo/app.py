"""The demo's Celery app, as a project would write it: an app, the plugin, one iterable task."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from typing import Any

from celery import Celery

from celery_graceful import Graceful, IterableTask, sources
from celery_graceful.demo import work

#: Names the demo's own server to the worker; set by the stage.
SERVER = "CELERY_GRACEFUL_DEMO_SERVER"

app = Celery(
    "graceful-demo",
    broker=os.environ.get(SERVER),
    backend=os.environ.get(SERVER),
    set_as_current=False,  # beside this app there is that of `celery -A proj graceful demo`
)
app.conf.update(
    broker_connection_retry_on_startup=True,
    graceful_lease_ttl="3s",  # shorter than the default of 30 s: the demo waits for it to end
    graceful_checkpoint_interval="1s",  # the default: what a SIGKILL can repeat at most
)
Graceful(app)


@app.task(base=IterableTask, bind=True, shared=False)
def survey_files(
    self: Any, root: str, notes: str, pause: float, *, cursor: str | None = None
) -> Generator[str, None, dict[str, Any]]:
    """Count and hash every .py file under ``root``, one file at a time.

    Args:
        root: the folder.
        notes: the path of the file where each processed file is noted.
        pause: seconds to wait at each file, so that there is time to watch.
        cursor: the last file that is done; passed on a resume.
    """
    for path, name in sources.files(root, "*.py", cursor=cursor):
        if work.is_installed(name):
            continue
        time.sleep(pause)
        self.carry.update(work.add(self.carry, path.read_bytes()))
        work.note(notes, name)
        yield name  # everything up to and including this file is done
    return dict(self.carry)
