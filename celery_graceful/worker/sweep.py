"""What a worker cleans up after background processes whose owner or guardian was killed."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import time
from typing import Any

from celery_graceful._celery.threads.native import native_sleep, start_native_thread
from celery_graceful.errors import ProcessError
from celery_graceful.text.masking import mask_text
from celery_graceful.worker.contained import ContainedStep

logger = logging.getLogger("celery_graceful.worker")

#: Seconds between two looks for guardians that have ended.
_EVERY = 2.0


class SweepStep(ContainedStep):
    """Looks into the registry once; a thread waits for what has to be ended.

    As the first process of a container, which all orphans become children of, the worker reaps
    guardians that have lost their owner.
    """

    requires = ("celery.worker.components:Pool",)
    vital = False

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._stopping = False
        self._worker = str(getattr(worker, "hostname", ""))

    def start(self, worker: Any) -> None:
        self._look_into_registry()
        if _is_first_process() and _import_ending():
            start_native_thread(self._reap)

    def stop(self, worker: Any) -> None:
        self._stopping = True

    def _look_into_registry(self) -> None:
        from celery_graceful.processes import registry

        try:
            if registry.is_empty():
                return
        except (OSError, ProcessError) as error:
            logger.warning("The registry of background processes cannot be read: %s", error)
            return
        _import_ending()
        start_native_thread(self._sweep)

    def _sweep(self) -> None:
        from celery_graceful.processes import registry
        from celery_graceful.processes.leaks.notes import Leak, note

        try:
            for entry in registry.sweep():
                now, task = time.time(), (f"{entry.task}[{entry.task_id}]",)
                age, command = max(0.0, now - entry.since), mask_text(entry.command)
                done = "ended, its guardian was killed"
                note(Leak(now, task, entry.pid, command, age, done, self._worker, entry.app))
        except Exception:
            logger.exception("Background processes of before could not be ended")

    def _reap(self) -> None:
        from celery_graceful.processes import ending

        failed = False
        while not self._stopping:
            native_sleep(_EVERY)
            try:
                ending.reap_guardians()
            except Exception:
                if not failed:
                    logger.exception("Guardians that have ended cannot be reaped; it is tried on")
                failed = True


def _is_first_process() -> bool:
    """Whether the orphans of this container become children of this very process."""
    return sys.platform == "linux" and os.getpid() == 1


def _import_ending() -> bool:
    """Whether psutil is there. In the main thread: a child that is forked in the middle of another
    thread's import could never import the same itself."""
    try:
        importlib.import_module("celery_graceful.processes.ending")
    except ImportError:
        return False
    return True
