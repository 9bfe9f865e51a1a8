"""A store that others have filled: every text of every record is theirs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

from celery import Celery

from celery_graceful import Graceful, IterableTask
from celery_graceful._celery.message.envelope import Envelope, pack
from celery_graceful.maintenance.worker_details import Details, Process
from celery_graceful.maintenance.workers import Busy, Report
from celery_graceful.model.maintenance.mode import Hold, Kind, LogEntry, Mode, Scope
from celery_graceful.model.run import history
from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.model.run.record import Outcome, Record, RunKey, State
from celery_graceful.model.run_options import RunOptions
from celery_graceful.processes.leaks.notes import Leak
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


def record_of(text: str, state: State, *, bare: bool = False) -> Record:
    """A record with ``text`` wherever it has a text.

    Args:
        text: what others wrote.
        state: where the run stands.
        bare: the text is all that is there, also where JSON should be; else it is put into that.
    """
    given: dict[str, Any] = dict.fromkeys(text_fields(), text)
    if not bare:
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
    """Fields that hold JSON of their own, with the text wherever that has a text."""
    data = {text: [text, {"v": text}], "rows": 4}
    options: dict[str, Any] = {
        field.name: text[:2000] for field in fields(RunOptions) if field.type == "str"
    }
    options["cursor"] = ""  # it is read as a checkpoint
    if any(field.name == "tags" for field in fields(RunOptions)):
        options["tags"] = (text[:100],)
    past = history.PastExecution("w1/abc", 1.7e9, 1.7e9 + 5, 3, text, text, 7)
    return {
        "checkpoint": encode(Checkpoint(cursor=[text, {"k": text}], carry=data, steps=4, total=9))
        if len(text) < 10_000
        else json.dumps({"cursor": text}),
        "options": RunOptions(**options).text(),
        "history": history.with_execution("", replace(past, worker=text)),
        "actions": history.with_action("", history.Action(1.7e9, text, text, text, text)),
        "error": history.error_text(history.RunError(text, text, f"Traceback:\n  {text}")),
    }


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


def fill(runtime: Runtime, texts: Sequence[str]) -> dict[RunKey, str]:
    """Runs with a text as their task's name, in their ids and everywhere else.

    Returns:
        The text of each run. One text is that of a run in every state; of several, each has one.
    """
    states = list(State)
    rows = [(text, state) for text in texts for state in states]
    keys = {}
    for number, (text, state) in enumerate(rows):
        if len(texts) == 1 or number % len(states) == number // len(states) % len(states):
            key = RunKey(text or TASK, f"{text}-{state}")
            put(runtime, key, record_of(text, state))
            keys[key] = text
    return keys


def fill_with_json(runtime: Runtime, texts: Sequence[str]) -> list[str]:
    """Runs in every state whose fields hold this and nothing else; their ids."""
    ids = []
    for number, text in enumerate(texts):
        for state in State:
            put(runtime, RunKey(TASK, f"a-{number}-{state}"), record_of(text, state, bare=True))
            ids.append(f"a-{number}-{state}")
    return ids


def entry_of(text: str) -> str:
    """A quarantined item."""
    place = encode(Checkpoint(cursor=text[:5000], carry={}, steps=4))
    return json.dumps(
        {
            "item": text,
            "error": text,
            "traceback": f"Traceback:\n  {text}",
            "before": place,
            "cursor": place,
            "at": 1.7e9,
        }
    )


def mode_of(text: str) -> Mode:
    """A maintenance mode that somebody else has set."""
    scopes = (Scope(Kind.QUEUE, text), Scope(Kind.TASK, text))
    return Mode(
        holds=tuple(Hold(scope, text, text, 1.7e9, 4e9) for scope in scopes),
        log=(LogEntry(1.7e9, text, "down", scopes, text), LogEntry(1.7e9, text, text, scopes)),
    )


def report_of(text: str) -> Report:
    """A worker's report with the text wherever it has one."""
    busy = Busy(text, text, text, 3.0, run=True)
    process = Process(text[:200], text, text, 7, 8, 1.7e9)
    leak = Leak(1.7e9, (text,), 7, text[:200], 5.0, text, text)
    details: dict[str, Any] = {f.name: text for f in fields(Details) if f.type == "str"}
    texts: dict[str, Any] = {field.name: text for field in fields(Report) if field.type == "str"}
    return Report(
        **{**texts, "hostname": text or "w1@host"},
        pid=7,
        slots=4,
        queues=(text,),
        exempt=(text,),
        busy=(busy,),
        busy_count=1,
        longest={text: 3.0},
        details=Details(**details, grace=30.0, processes=(process,), leaks=(leak,)),
    )
