"""What the guardian's Python is started with: ``python -I -S -X utf8 run.py LABEL``."""

import sys


def _provide_future() -> None:
    """The guardian's modules import ``annotations``; this spares reading the real module."""
    future = type(sys)("__future__")
    future.annotations = None  # type: ignore[attr-defined]
    sys.modules["__future__"] = future


def _import_alone() -> None:
    """Let this folder's modules be imported by their names, without the packages around it."""
    folder = __file__.rpartition("/")[0]
    for package in ("celery_graceful.processes.guardian", "celery_graceful.processes", ""):
        name = package or "celery_graceful"
        module = type(sys)(name)
        module.__path__ = [folder]
        sys.modules[name] = module
        folder = folder.rpartition("/")[0]


if __name__ == "__main__":
    _provide_future()
    _import_alone()
    from celery_graceful.processes.guardian.guardian import main

    main()
