"""An exception from another thread arrives in the code it is meant for, once, or not at all."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from celery_graceful._celery.threads.interruption import Edge
from celery_graceful.errors import CutOff
from tests.harness import wait_for

ROUNDS = 3000


def guarded(edge: Edge, work: Callable[[], object]) -> str:
    """As a task is run: what came of it."""
    try:
        try:
            edge.open()
            work()
        finally:
            edge.close()
    except CutOff:
        edge.close()
        return "cut"
    return "done"


def spin(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sum(range(20))


@pytest.fixture
def _busy_switching() -> Iterator[None]:
    """Threads take turns at nearly every step."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_busy_switching")
def test_it_never_arrives_behind_the_edge() -> None:
    """Another thread throws at whatever moment, the very end of the work included."""
    edges: list[Edge] = []
    stopped = threading.Event()
    outcomes: list[str] = []

    def throw() -> None:
        while not stopped.is_set():
            for edge in edges[-1:]:
                edge.throw()
            spin(random.random() * 0.0004)

    def work() -> None:
        for _ in range(ROUNDS):
            edge = Edge(CutOff)
            edges.append(edge)
            outcomes.append(guarded(edge, lambda: spin(0.0002)))
            spin(0.0001)  # the code around: a stray exception would end this thread

    thrower = threading.Thread(target=throw)
    thrower.start()
    try:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(work).result(60)
    finally:
        stopped.set()
        thrower.join()
    assert len(outcomes) == ROUNDS
    assert set(outcomes) == {"cut", "done"}


def test_code_that_swallows_it_is_left_alone_from_then_on() -> None:
    caught: list[int] = []
    inside = threading.Event()
    edges: list[Edge] = []

    def work() -> None:
        for turn in range(2):
            try:
                inside.set()
                spin(0.3 if turn else 5)
            except CutOff:
                caught.append(turn)

    def run() -> str:
        edges.append(Edge(CutOff))
        return guarded(edges[0], work)

    with ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(run)
        assert inside.wait(5)
        while not caught:
            edges[0].throw()
        edges[0].throw()
        assert outcome.result(10) == "done"
    assert caught == [0]


def test_in_the_main_thread_only_a_signal_handler_raises() -> None:
    edge = Edge(CutOff)
    assert guarded(edge, lambda: edge.throw()) == "done"
    assert guarded(Edge(CutOff), lambda: None) == "done"
    other = Edge(CutOff)
    assert guarded(other, other.raise_here) == "cut"
    other.raise_here()  # closed


def test_a_closed_edge_takes_nothing() -> None:
    with ThreadPoolExecutor(1) as pool:
        edge = pool.submit(Edge, CutOff).result()
        edge.throw()
        edge.open()
        pool.submit(edge.close).result()
        edge.throw()
        assert pool.submit(lambda: spin(0.01)).exception() is None


def test_gevents_greenlets_get_it_where_they_wait() -> None:
    gevent = pytest.importorskip("gevent")
    outcomes: list[str] = []

    def run() -> None:
        edges: list[Edge] = []

        def work() -> None:
            edge = Edge(CutOff)
            edges.append(edge)
            outcomes.append(guarded(edge, lambda: gevent.sleep(10)))
            gevent.sleep(0.01)
            outcomes.append("after")

        greenlet = gevent.spawn(work)
        gevent.sleep(0.01)
        thrower = threading.Thread(target=edges[0].throw)
        thrower.start()
        greenlet.join(5)
        thrower.join()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(run).result(20)
    wait_for(lambda: outcomes == ["cut", "after"], 5, lambda: str(outcomes))


def test_nothing_is_left_behind_in_the_interpreter() -> None:
    """Python 3.11 looks for ever for an exception that is taken back."""
    code = (
        "import sys, threading\n"
        "from celery_graceful._celery.threads.interruption import Edge\n"
        "from celery_graceful.errors import CutOff\n"
        "def run():\n"
        "    edge = Edge(CutOff)\n"
        "    try:\n"
        "        edge.open()\n"
        "        other = threading.Thread(target=edge.throw)\n"
        "        other.start()\n"
        "        other.join()\n"
        "    except CutOff:\n"
        "        pass\n"
        "    edge.close()\n"
        "for _ in range(20):\n"
        "    one = threading.Thread(target=run)\n"
        "    one.start()\n"
        "    one.join()\n"
        "calls = []\n"
        "sys.setprofile(lambda frame, event, argument: calls.append(event))\n"
        "exec('def f(): return 1\\nfor _ in range(1000): f()')\n"
        "sys.setprofile(None)\n"
        "print('calls', len(calls) > 1000)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30, check=True)
    assert done.stdout.decode().strip() == "calls True"
