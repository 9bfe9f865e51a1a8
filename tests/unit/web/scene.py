"""An app with a few runs in memory, and a browser of a few lines for its screen."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, unquote

from celery import Celery

from celery_graceful import Graceful, IterableTask
from celery_graceful._celery.message.envelope import Envelope, pack
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.model.run.record import Outcome, RunKey
from celery_graceful.runs.quarantined_items import ENVELOPE, envelope_entry
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import Runtime
from celery_graceful.web.dispatch import Screen
from celery_graceful.web.http import PERMISSIONS, Fields, Request, Response

TASK = "shop.reindex"


def make_app() -> Celery:
    """An app whose store and broker are in memory."""
    app = Celery("shop", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.update(graceful_store="memory://", graceful_namespace=uuid.uuid4().hex)
    Graceful(app)

    @app.task(base=IterableTask, shared=False, name=TASK)
    def reindex(
        path: str = "a.csv", *, region: str = "eu", limit: int = 0, cursor: int | None = None
    ) -> Iterator[int]:
        yield 1

    return app


def begin(
    runtime: Runtime,
    name: str,
    *,
    task: str = TASK,
    worker: str = "w1",
    at: float = 1.0,
    envelope: bytes = b"",
) -> int:
    """A worker runs it, for the first time or once more; the fencing token."""
    run = RunKey(task, name)
    known = runtime.store.load(run).record
    admit = ev.Admit(
        known.generation if known else 0,
        f"{worker}/abc",
        at=at,
        envelope=envelope,
        process=4711,
    )
    done = transition(runtime.store, run, admit, runtime.policy)
    assert done.record is not None
    return done.record.fence


def message_of(runtime: Runtime, name: str, *args: Any, **kwargs: Any) -> bytes:
    """The message with which it was sent, as its record keeps it."""
    app = runtime.app
    app.tasks[TASK].apply_async(args, kwargs, task_id=name)
    with app.connection_for_write() as connection:
        channel: Any = connection.default_channel
        message = channel.basic_get("celery", no_ack=True)
    body = message.body.encode() if isinstance(message.body, str) else message.body
    return pack(
        Envelope(
            body=body,
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            headers=message.headers,
            properties={"correlation_id": name},
            exchange="",
            routing_key="celery",
            broker=runtime.broker,
        )
    )


def travelled(runtime: Runtime, name: str, began: float, executions: int = 4) -> int:
    """A run with a past: several executions, quarantined items; it runs now."""
    envelope = message_of(runtime, name, "s3://bucket/orders.csv", region="eu", limit=5)
    at, done, fence = began, 0, 0
    for number in range(executions):
        fence = begin(runtime, name, worker=f"w{number % 2}@host", at=at, envelope=envelope)
        done += 4000 + 1700 * (number % 3)
        save(runtime, name, fence, done, 60_000)
        at += 200 + 90 * (number % 2)
        if number < executions - 1:
            reason = ("shutdown", "maintenance", "max_execution_time")[number % 3]
            interrupt(runtime, name, fence, reason, at=at)
        at += 45
    return fence


def quarantine(runtime: Runtime, name: str, fence: int, count: int = 3) -> None:
    """Some of its items failed."""
    run = RunKey(TASK, name)
    store = runtime.store
    record = store.load(run).record
    assert record is not None
    store.quarantine(run, fence, ENVELOPE, envelope_entry(record.envelope), keep=3600)
    for number in range(count):
        cursor = encode(Checkpoint(cursor=number, carry={}, steps=number))
        entry = {
            "before": cursor, "cursor": cursor, "item": f"{{'row': {number}}}",
            "error": f"ValueError('no price in row {number}')",
            "traceback": f"Traceback (most recent call last):\n  …\nValueError: row {number}",
            "at": 1.0 + number,
        }  # fmt: skip
        assert store.quarantine(run, fence, number, json.dumps(entry), keep=3600)
    text = encode(Checkpoint(cursor=9, carry={}, steps=record.steps, total=60_000, errors=count))
    assert store.checkpoint(run, fence, text, record.steps, due_in=30).accepted


def save(runtime: Runtime, name: str, fence: int, done: int = 42, total: int | None = 100) -> None:
    """A checkpoint of it."""
    text = encode(Checkpoint(cursor=done - 1, carry={"rows": done}, steps=done, total=total))
    flushed = runtime.store.checkpoint(RunKey(TASK, name), fence, text, done, due_in=30)
    assert flushed.accepted


def interrupt(
    runtime: Runtime, name: str, fence: int, reason: str = "shutdown", *, at: float = 0.0
) -> None:
    """Its worker stops."""
    run = RunKey(TASK, name)
    record = runtime.store.load(run).record
    assert record is not None
    gone = ev.HandOver(fence, record.checkpoint, record.steps, reason, at=at)
    transition(runtime.store, run, gone, runtime.policy)


def end(runtime: Runtime, name: str, outcome: Outcome, fence: int = 1, *, error: str = "") -> None:
    """It ends."""
    done = ev.End(fence, outcome, error=error)
    transition(runtime.store, RunKey(TASK, name), done, runtime.policy)


class Browser:
    """Follows links and fills in forms of a screen: cookies, tokens, headers and redirects."""

    def __init__(
        self, screen: Screen, user: str | None = "ann", can: frozenset[str] = PERMISSIONS
    ) -> None:
        self.screen = screen
        self.base = Request("GET", "/", user=user, can=can)
        self.headers = {"host": "localhost:5556", "sec-fetch-site": "same-origin"}
        self.cookies: dict[str, str] = {}
        self.url = "/"
        self.last: Response | None = None

    def get(self, url: str, **headers: str) -> str:
        """The text of a page."""
        return self.send("GET", url, Fields(), **headers)

    def post(self, path: str, /, **fields: str | list[str]) -> str:
        """Send a form of the page that was seen last, with its token; the page after it."""
        given = Fields.of(fields)
        token = self.token()
        pairs = given.pairs if not token else (*given.pairs, ("form_token", token))
        return self.send("POST", path, Fields(pairs))

    def token(self) -> str:
        """The token in the forms of the last page."""
        found = re.search(r'name="form_token" value="(\w+)"', self.text)
        return found[1] if found else ""

    def send(self, method: str, url: str, form: Fields, **headers: str) -> str:
        """Send a request and follow what it answers."""
        self.url = url
        self.last = self.screen.answer(self.request_for(method, url, form, **headers))
        self.keep_cookies(self.last)
        if self.last.status == 303:
            return self.get(self.last.header("location"))
        return self.text

    def request_for(self, method: str, url: str, form: Fields, **headers: str) -> Request:
        """The request that would be sent."""
        path, _, query = url.partition("?")
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return replace(
            self.base,
            method=method,
            path=unquote(path),
            query=Fields(tuple(parse_qsl(query, keep_blank_values=True))),
            form=form,
            headers={**self.headers, "cookie": cookie, **headers},
        )

    @property
    def status(self) -> int:
        """Of the last response."""
        assert self.last is not None
        return self.last.status

    @property
    def text(self) -> str:
        """Of the last response."""
        return "" if self.last is None else self.last.body.decode()

    @property
    def message(self) -> str:
        """What the page says that came of the last change."""
        found = re.search(r'<p class="message is-\w+">(.*?)</p>', self.text, re.DOTALL)
        return unescape(found[1]) if found else ""

    def keep_cookies(self, response: Response) -> None:
        """Do what the response says about cookies."""
        for name, value in response.headers:
            if name == "Set-Cookie":
                cookie, *rest = value.split("; ")
                key, _, content = cookie.partition("=")
                if "Max-Age=0" in rest:
                    self.cookies.pop(key, None)
                else:
                    self.cookies[key] = content
