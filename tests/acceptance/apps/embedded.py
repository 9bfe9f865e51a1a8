"""A worker inside of a Python program, stopped from Python; SIGUSR1 tells the program to do so.

``python -m tests.acceptance.apps.embedded NODE HOW``, where ``HOW`` is

* ``stop``: the worker runs in the main thread, another calls its ``stop()``;
* ``should_stop``, ``should_terminate``: it runs in a thread, and Celery's own switches are set, the
  second as ``celery.contrib.testing`` does. (A ``stop()`` called from outside of such a thread
  ends the thread at once, and Linux kills the children of a thread that ends.)
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from typing import Any

from celery.worker import state

from tests.acceptance.apps.items import app


def tell_ready(consumer: Any) -> None:
    """What the ``celery worker`` command logs."""
    print(f"{consumer.hostname} ready.", flush=True)


def main(hostname: str, how: str) -> None:
    """Run a worker until the signal, then stop it."""
    asked = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: asked.set())
    app.log.setup(loglevel=logging.INFO)
    worker = app.WorkController(
        hostname=hostname, pool="prefork", concurrency=2, ready_callback=tell_ready
    )

    def stop() -> None:
        asked.wait()
        if how == "stop":
            worker.stop()
        else:
            setattr(state, how, 0)

    here, there = (worker.start, stop) if how == "stop" else (stop, worker.start)
    thread = threading.Thread(target=there)
    thread.start()
    here()
    thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
