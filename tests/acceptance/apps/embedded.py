"""A worker inside of a Python program, stopped from Python; SIGUSR1 tells the program to do so."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from typing import Any

from celery.signals import worker_ready

from tests.acceptance.apps.items import app


def tell_ready(sender: Any = None, **_: Any) -> None:
    """What the ``celery worker`` command logs."""
    print(f"{sender.hostname} ready.", flush=True)


def main(hostname: str) -> None:
    """Run a worker in a thread until the signal, then stop it."""
    asked = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: asked.set())
    logging.basicConfig(level=logging.INFO, stream=sys.stdout)
    worker_ready.connect(tell_ready)
    worker = app.WorkController(hostname=hostname, pool="prefork", concurrency=2)
    thread = threading.Thread(target=worker.start)
    thread.start()
    asked.wait()
    worker.stop()
    thread.join()


if __name__ == "__main__":
    main(sys.argv[1])
