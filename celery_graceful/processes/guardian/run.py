"""What the guardian's Python is started with: ``python -I -S -X utf8 run.py LABEL``."""

from __future__ import annotations

import sys


def _import_alone() -> None:
    """Let the folder's modules be imported by their names, without the packages around it."""
    folder = __file__.rpartition("/")[0]
    for package in ("celery_graceful.processes.guardian", "celery_graceful.processes", ""):
        name = package or "celery_graceful"
        module = type(sys)(name)
        module.__path__ = [folder]
        sys.modules[name] = module
        folder = folder.rpartition("/")[0]


if __name__ == "__main__":
    _import_alone()
    from celery_graceful.processes.guardian.watch import main

    main()
