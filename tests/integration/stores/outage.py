"""What the tests of outages share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from celery_graceful.errors import StoreUnavailable
from celery_graceful.model.run.record import Record
from celery_graceful.stores.base import NOTICES, REPORTS, Store
from celery_graceful.testing.store_contract.samples import OWNER, RUN, RUNNING, listed

Open = Callable[..., Store]


def every_call(store: Store) -> list[Callable[[], object]]:
    return [
        store.check,
        lambda: store.load(RUN),
        lambda: store.swap(RUN, 0, RUNNING),
        lambda: store.checkpoint(RUN, 1, "c", 1, due_in=9),
        lambda: store.renew(OWNER, [RUN], due_in=9),
        lambda: store.due(1),
        lambda: listed(store, 1),
        lambda: store.read_text(NOTICES, "n"),
        lambda: store.write_text(NOTICES, "n", "text", expected=0),
        lambda: store.write_text(REPORTS, "w", "report", keep=9),
        lambda: store.texts(REPORTS),
        lambda: store.delete_text(REPORTS, "w"),
    ]


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin < seconds


def found(store: Store) -> Record | None:
    """The record, if the store answers in time."""
    try:
        return store.load(RUN).record
    except StoreUnavailable:
        return None
