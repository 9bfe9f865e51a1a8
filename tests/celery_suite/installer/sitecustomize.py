"""Installs ``Graceful(app)`` in each Celery app of each Python process that finds this file.

Python imports a module of this name at its start. Programs that a test starts inherit the path.
"""

from __future__ import annotations

import json
import os
import sys

from celery import Celery

from celery_graceful import Graceful


def _install(app: Celery) -> None:
    Graceful(app)
    line = json.dumps({"kind": "installed", "pid": os.getpid(), "argv": sys.argv[:6]})
    with open(os.environ["CELERY_SUITE_RECORD"], "a") as record:
        record.write(line + "\n")


# Celery calls it at the end of each app's creation, for subclasses to define.
Celery.on_init = _install  # type: ignore[assignment, method-assign]
