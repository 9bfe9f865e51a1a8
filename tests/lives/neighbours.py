"""Runs beside the one that is watched, whose records or messages are damaged."""

from __future__ import annotations

from celery_graceful.model.run.record import Record, RunKey, State
from celery_graceful.stores.base import Store

DEEP = 200_000
#: What a neighbour has in place of its message.
MESSAGES: dict[str, bytes] = {
    "deep": b'{"headers":' + b"[" * DEEP + b"\n",
    "deep for kombu": b"k" + b"[" * DEEP + b"\n",
    "digits": b"1" * 5000 + b"\n",
    "no UTF-8": b"\xff\xfe\n",
    "nothing": b"",
}
#: What a neighbour has in place of its summary, where a store keeps one as text.
SUMMARIES: dict[str, str] = {
    "deep": "[" * DEEP,
    "a number of 400 digits": '{"format":1,"started_at":1' + "0" * 400 + "}",
    "cut off": '{"format":1,"by":',
    "infinite": '{"format":1,"republished":Infinity}',
    "digits": "1" * 5000,
}


def add_neighbour(store: Store, name: str, message: bytes) -> RunKey:
    """A run that is overdue for good, and is looked at before the one that is watched."""
    run = RunKey("task", name)
    record = Record(
        State.INTERRUPTED, generation=1, republished=10**10, started_at=1.0, envelope=message
    )
    assert store.swap(run, 0, record, due_in=-1e6).done
    return run
