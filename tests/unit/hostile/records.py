"""A store that others have filled: every text of every record is theirs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

from celery import Celery

from celery_graceful import Graceful, IterableTask
from celery_graceful._celery.message.envelope import Envelope, pack
from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.model.run.record import Outcome, Record, RunKey, State
from celery_graceful.model.run_options import RunOptions
from celery_graceful.runtime import Runtime, runtime_of
from celery_graceful.stores.memory_store import MemoryStore

TASK = "shop.reindex"


class SharedMemory(MemoryStore):
    """In memory, and commands take it for a store that workers share."""

    shared_between_processes = True


def make_app() -> Celery:
    """An app with one task, whose runs are in memory."""
    app = Celery("shop", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.update(graceful_store="memory://")
    Graceful(app)

    @app.task(base=IterableTask, shared=False, name=TASK)
    def reindex(path: str = "a.csv", *, cursor: int | None = None) -> Iterator[int]:
        yield 1

    runtime_of(app).__dict__["store"] = SharedMemory()
    return app


def text_fields() -> list[str]:
    """The fields of a record that are texts, also those that nobody has thought of here."""
    kinds = {field.name: str(field.type) for field in fields(Record)}
    return [name for name, kind in kinds.items() if kind in ("str", "str | None")]


def record_of(text: str, state: State, *, structured: bool = True) -> Record:
    """A record with ``text`` wherever it has a text.

    Args:
        text: what others wrote.
        state: where the run stands.
        structured: keep the structure of fields that hold JSON, and put the text into it;
            otherwise the text is all that is there.
    """
    given: dict[str, Any] = dict.fromkeys(text_fields(), text)
    if structured:
        given |= _structured(text)
    if state not in (State.RUNNING, State.FINISHING):
        given["owner"] = None
    ended = state is State.ENDED
    record = Record(
        state,
        generation=1,
        fence=7,
        steps=4,
        started_at=1_700_000_000.0,
        outcome=Outcome.FAILED if ended else None,
        envelope=envelope_of(text),
    )
    return replace(record, **given)


def _structured(text: str) -> dict[str, Any]:
    data = {text: [text, {"v": text}], "rows": 4}
    carry = data if len(text) < 10_000 else {"text": text}
    short = text if len(text) < 10_000 else text[:2000]
    given: dict[str, Any] = {
        "checkpoint": encode(Checkpoint(cursor=[text, {"k": text}], carry=carry, steps=4, total=9))
        if len(text) < 100_000
        else json.dumps({"cursor": text}),
        "options": RunOptions(once=short, by=short, pause_after=3).text(),
    }
    return given


def envelope_of(text: str) -> bytes:
    """The run's message: arguments, sender and queue are texts of others, too."""
    body = json.dumps([[text, {"a": [text]}], {"path": text}, {"chain": None}]).encode()
    headers = {
        "lang": "py",
        "task": TASK,
        "id": text[:5000],
        "argsrepr": text[:5000],
        "kwargsrepr": text[:5000],
        "origin": text[:5000],
        "graceful_sent_by": text[:5000],
        "graceful_tags": [text[:5000]],
    }
    queue = text.encode("utf-8", "replace").decode()[:5000]
    envelope = Envelope(
        body, "application/json", "utf-8", headers, {"correlation_id": "x"}, "", queue, "memory://"
    )
    return pack(envelope)


def put(runtime: Runtime, key: RunKey, record: Record) -> None:
    """Write a record as it is."""
    ended = record.state is State.ENDED
    due = 30.0 if record.state is not State.PAUSED and not ended else None
    done = runtime.store.swap(key, 0, record, due_in=due, keep=3600.0 if ended else None)
    assert done.done


def fill(runtime: Runtime, text: str, *, structured: bool = True) -> list[RunKey]:
    """A run in every state with ``text`` as its task's name, in its id and everywhere else."""
    keys = []
    for state in State:
        key = RunKey(text or TASK, f"{text}-{state}")
        put(runtime, key, record_of(text, state, structured=structured))
        keys.append(key)
    return keys
