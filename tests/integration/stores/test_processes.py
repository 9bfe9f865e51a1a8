"""Stores in several processes: forks, and a race for the table."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from celery_graceful.model.run.record import RunKey
from celery_graceful.stores.base import REPORTS, Store
from celery_graceful.stores.url import open_store
from celery_graceful.testing.store_contract.samples import RUN, RUNNING, listed, put, read
from tests.harness.waiting import wait_for

Open = Callable[..., Store]
#: Seconds that a store may take to answer while so many processes use it.
PATIENCE = 30.0


def forked(body: Callable[[], None]) -> int:
    """Run ``body`` in a child and answer the child's id; it ends with 0 if nothing was raised."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        body()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended_well(pids: list[int]) -> bool:
    return [_status(pid) for pid in pids] == [0] * len(pids)


def _ended(pid: int) -> list[int]:
    found, status = os.waitpid(pid, os.WNOHANG)
    return [status] if found else []


def _status(pid: int) -> int:
    try:
        return wait_for(lambda: _ended(pid), 90, f"child {pid} to end")[0]
    except AssertionError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def count_up(store: Store, times: int) -> None:
    for _ in range(times):
        done = False
        while not done:
            there = read(store)
            done = store.swap(RUN, there.version, replace(there, steps=there.steps + 1)).done


def test_children_and_parent_use_one_store_object(server_url: str, opener: Open) -> None:
    store = opener(server_url, timeout=PATIENCE)
    put(store, replace(RUNNING, steps=0))
    with ThreadPoolExecutor(3) as pool:  # leaves several open connections behind
        list(pool.map(lambda _: store.load(RUN), range(30)))
    children = [forked(lambda: count_up(store, 25)) for _ in range(3)]
    count_up(store, 25)
    assert ended_well(children)
    count_up(store, 5)
    assert read(store).steps == 105


def test_a_child_that_closes_leaves_the_parent_connected(server_url: str, opener: Open) -> None:
    store = opener(server_url, timeout=PATIENCE)
    before = put(store)

    def use_and_close() -> None:
        store.close()
        assert read(store) == before
        store.close()

    assert ended_well([forked(use_and_close) for _ in range(3)])
    assert read(store) == before


def test_a_fork_while_threads_use_the_store(store_url: str, opener: Open) -> None:
    store = opener(store_url, timeout=PATIENCE)
    put(store)
    stop = threading.Event()

    def hammer() -> None:
        while not stop.is_set():
            store.load(RUN)

    with ThreadPoolExecutor(3) as pool:
        busy = [pool.submit(hammer) for _ in range(3)]
        try:
            for _ in range(8):
                assert ended_well([forked(lambda: count_up(store, 2))])
        finally:
            stop.set()
        for future in busy:
            future.result(10)


def test_processes_race_for_the_first_use(server_url: str) -> None:
    ready_in, ready_out = os.pipe()

    def begin(number: int) -> None:
        os.read(ready_in, 1)
        store = open_store(server_url, "test", timeout=PATIENCE)
        put(store, run=RunKey("t", str(number)))
        store.write_text(REPORTS, f"w{number}", "report", keep=60)
        store.close()

    children = [forked(lambda number=number: begin(number)) for number in range(6)]  # type: ignore[misc]
    os.write(ready_out, b"go" * 3)
    assert ended_well(children)
    os.close(ready_in)
    os.close(ready_out)
    store = open_store(server_url, "test", timeout=PATIENCE)
    assert len(listed(store, 9)) == len(store.texts(REPORTS)) == 6
    store.close()
