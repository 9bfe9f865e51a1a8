"""An app with a few runs in memory, and a browser of a few lines for its screen."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from html import unescape

from celery import Celery

from celery_graceful import Graceful, IterableTask
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.model.run.record import Outcome, RunKey
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
    def reindex(path: str = "a.csv", *, cursor: int | None = None) -> Iterator[int]:
        yield 1

    return app


def begin(
    runtime: Runtime, name: str, *, task: str = TASK, worker: str = "w1", at: float = 1.0
) -> int:
    """A worker runs it; the fencing token."""
    run = RunKey(task, name)
    done = transition(runtime.store, run, ev.Admit(0, f"{worker}/abc", at=at), runtime.policy)
    assert done.record is not None
    return done.record.fence


def save(runtime: Runtime, name: str, fence: int, done: int = 42, total: int | None = 100) -> None:
    """A checkpoint of it."""
    text = encode(Checkpoint(cursor=done - 1, carry={"rows": done}, steps=done, total=total))
    flushed = runtime.store.checkpoint(RunKey(TASK, name), fence, text, done, due_in=30)
    assert flushed.accepted


def interrupt(runtime: Runtime, name: str, fence: int, reason: str = "shutdown") -> None:
    """Its worker stops."""
    run = RunKey(TASK, name)
    record = runtime.store.load(run).record
    assert record is not None
    gone = ev.HandOver(fence, record.checkpoint, record.steps, reason)
    transition(runtime.store, run, gone, runtime.policy)


def end(runtime: Runtime, name: str, outcome: Outcome, fence: int = 1) -> None:
    """It ends."""
    transition(runtime.store, RunKey(TASK, name), ev.End(fence, outcome), runtime.policy)


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
        from urllib.parse import parse_qsl, unquote

        path, _, query = url.partition("?")
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        request = replace(
            self.base,
            method=method,
            path=unquote(path),
            query=Fields(tuple(parse_qsl(query, keep_blank_values=True))),
            form=form,
            headers={**self.headers, "cookie": cookie, **headers},
        )
        self.url = url
        self.last = self.screen.answer(request)
        self._keep_cookies(self.last)
        if self.last.status == 303:
            return self.get(self.last.header("location"))
        return self.text

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

    def _keep_cookies(self, response: Response) -> None:
        for name, value in response.headers:
            if name == "Set-Cookie":
                cookie, *rest = value.split("; ")
                key, _, content = cookie.partition("=")
                if "Max-Age=0" in rest:
                    self.cookies.pop(key, None)
                else:
                    self.cookies[key] = content
