"""Real threads that log beside greenlets: nobody is left waiting for the log's lock."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("gevent")

START = """
import gevent.monkey; gevent.monkey.patch_all()
import logging, sys, time
import gevent
from celery_graceful._celery.threads.native import native_sleep, start_native_thread

class Slow(logging.StreamHandler):
    def emit(self, record):
        native_sleep(0.002)  # the interpreter goes on with the other thread
        super().emit(record)

logging.basicConfig(level=logging.INFO, handlers=[Slow(sys.stdout)], format="%(message)s")
ours, theirs = logging.getLogger("celery_graceful.worker"), logging.getLogger("celery.worker")
"""
BESIDE = """
ended = []

def thread():
    for i in range(200):
        ours.info("thread %s", i)
    ended.append(True)

start_native_thread(thread)
start_native_thread(thread)
while len(ended) < 2:
    theirs.info("greenlet")
    gevent.sleep(0.001)
theirs.info("end")
"""
STUCK = """
times = []

def thread():
    for i in range(50):
        began = time.monotonic()
        ours.info("thread %s", i)
        times.append(time.monotonic() - began)

start_native_thread(thread)
for _ in range(3000):
    if len(times) < 50:
        native_sleep(0.01)  # gives no way to greenlets
theirs.info("main")
gevent.sleep(0.1)
assert len(times) == 50 and sorted(times)[25] < 0.15, times
theirs.info("end")
"""


def lines_of(script: str) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-c", START + script], capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def test_a_greenlet_that_logs_beside_threads_goes_on() -> None:
    lines = lines_of(BESIDE)
    assert sorted(lines.count(f"thread {i}") for i in range(200)) == [2] * 200
    assert lines[-1] == "end"


def test_what_threads_say_while_no_greenlet_runs_is_written_at_once() -> None:
    lines = lines_of(STUCK)
    assert lines == [*(f"thread {i}" for i in range(50)), "main", "end"]
