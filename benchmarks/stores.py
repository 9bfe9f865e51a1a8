"""Each kind of store, on a server of its own, for benchmarks of what they do among many records."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from celery import Celery
from redis import Redis

from celery_graceful.runtime import Runtime, runtime_of
from tests.servers import MissingProgram, Postgres, Valkey

#: A store, and a client of its server if that is Redis.
Place = tuple[Runtime, "Redis | None"]


def timed(call: Callable[[], object]) -> float:
    """How long a call takes, in milliseconds."""
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


@contextmanager
def _redis() -> Iterator[Place]:
    with Valkey() as server, server.client() as client, _runtime(server.url) as runtime:
        yield runtime, client


@contextmanager
def _sqlite() -> Iterator[Place]:
    with (
        TemporaryDirectory() as folder,
        _runtime(f"sqlite:///{Path(folder) / 'runs.db'}") as runtime,
    ):
        yield runtime, None


@contextmanager
def _postgres() -> Iterator[Place]:
    with Postgres() as server, _runtime(server.url) as runtime:
        yield runtime, None


KINDS: dict[str, Callable[[], AbstractContextManager[Place]]] = {
    "Redis": _redis,
    "SQLite": _sqlite,
    "PostgreSQL": _postgres,
}


def places(only: str = "") -> Iterator[tuple[str, Runtime, Redis | None]]:
    """An empty store of each kind whose server is installed, one after the other.

    Args:
        only: the name of one kind, in any case; empty: all.
    """
    for kind, opened in KINDS.items():
        if only and kind.lower() != only.lower():
            continue
        with ExitStack() as stack:
            try:
                runtime, client = stack.enter_context(opened())
            except MissingProgram:
                continue
            yield kind, runtime, client


@contextmanager
def _runtime(url: str) -> Iterator[Runtime]:
    app = Celery(f"bench-{uuid4()}", broker="memory://", set_as_current=False)
    app.conf.graceful_store = url
    runtime = runtime_of(app)
    try:
        yield runtime
    finally:
        runtime.store.close()
        app.close()
