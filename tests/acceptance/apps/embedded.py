"""A worker inside of a Python program, stopped from Python; SIGUSR1 tells the program to do so."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from typing import Any

from tests.acceptance.apps.items import app


def tell_ready(consumer: Any) -> None:
    """What the ``celery worker`` command logs."""
    print(f"{consumer.hostname} ready.", flush=True)


def main(hostname: str) -> None:
    """Run a worker in a thread until the signal, then stop it."""
    asked = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: asked.set())
    logging.basicConfig(level=logging.INFO, stream=sys.stdout)
    worker = app.WorkController(
        hostname=hostname, pool="prefork", concurrency=2, ready_callback=tell_ready
    )
    thread = threading.Thread(target=worker.start)
    thread.start()
    asked.wait()
    worker.stop()
    thread.join()


if __name__ == "__main__":
    main(sys.argv[1])
