"""What a browser sends: addresses with filters and positions, forms, cookies."""

from __future__ import annotations

import base64
import datetime
import json
import uuid
from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from celery import Celery

from celery_graceful import Graceful, IterableTask
from celery_graceful.model.run.record import RunKey
from celery_graceful.runs.listing import positions
from celery_graceful.stores.tabs import Tab
from celery_graceful.views.start_form.form import Form, make_form
from celery_graceful.views.start_form.submission import read_form
from celery_graceful.web.dispatch import Screen
from celery_graceful.web.http import PERMISSIONS, Fields, Request
from celery_graceful.web.login.accounts import COOKIE, Accounts
from celery_graceful.web.safety.cookies import cookies_of
from celery_graceful.web.screen_options import ScreenOptions
from tests.fuzz.mutate import Mutator
from tests.fuzz.target import Target

HOST = "127.0.0.1:5556"
KEY = RunKey("shop.reindex", "8f6f2c52")
TAB = next(iter(Tab))
IN_TAB = positions.written(positions.InTab(TAB, (1.5, KEY)))
IN_ALL = positions.written(positions.InAll(9.5, (1.5, KEY), (KEY,), None, (2.5, KEY)))
PATHS = ("/", "/run/8f6f2c52", "/start", "/start/shop.reindex", "/maintenance", "/workers")
NAMES = (
    "state", "task", "queue", "worker", "tag", "since", "text", "after", "limit", "cursor", "verb",
    "then", "token", "id", "run", "reason", "until", "path", "expected_state", "all",
)  # fmt: skip


@lru_cache
def app() -> Celery:
    made = Celery("shop", broker="memory://", set_as_current=False)
    made.conf.update(graceful_store="memory://", graceful_namespace=uuid.uuid4().hex)
    Graceful(made)

    @made.task(base=IterableTask, shared=False, name=KEY.task)
    def reindex(
        path: Path,
        count: int = 1,
        share: float = 0.5,
        price: Decimal = Decimal(1),
        on: datetime.date | None = None,
        at: datetime.datetime | None = None,
        dry: bool = False,
        more: dict[str, Any] | None = None,
        *,
        cursor: int | None = None,
    ) -> Iterator[int]:
        yield 1

    return made


@lru_cache
def screen() -> Screen:
    return Screen(app(), ScreenOptions(hosts=None))


@lru_cache
def start_form() -> Form:
    return make_form(app().tasks[KEY.task])


def coded(mutator: Mutator) -> str:
    """A position whose text was changed, or what the text is made of."""
    text: str = mutator.pick([IN_TAB, IN_ALL])
    inside = mutator.text([base64.urlsafe_b64decode(text).decode()])[:5000]
    changed = base64.urlsafe_b64encode(inside.encode("utf-8", "surrogatepass")).decode()
    return str(mutator.pick([changed, changed, mutator.text([text])]))


def read_position(text: str) -> None:
    for read in (positions.read_in_all, lambda given: positions.read_in_tab(given, TAB)):
        try:
            read(text)
        except ValueError:
            continue


def fields_of(mutator: Mutator) -> tuple[tuple[str, str], ...]:
    names = [str(mutator.pick(list(NAMES))) for _ in range(mutator.pick([0, 1, 1, 2, 4]))]
    return tuple((name, _value(mutator)) for name in names)


def _value(mutator: Mutator) -> str:
    sound = ["failed", "2h", "shop.*", KEY.id, "1", '{"a": 1}', "2026-01-01T10:00", IN_ALL]
    return mutator.text([*sound, str(mutator.value())[:300]])[:3000]


def request(mutator: Mutator) -> Request:
    cookie = mutator.text(["graceful_session=a.b.c", "graceful_flash=aGk", "a=b; graceful_form=x"])
    headers = {"host": HOST, "cookie": cookie[:3000], "sec-fetch-site": "same-origin"}
    path: str = mutator.pick([*PATHS, mutator.text(list(PATHS))[:300]])
    return Request(
        mutator.pick(["GET", "GET", "GET", "POST", "HEAD", mutator.text(["PUT"])[:20]]),
        path if path.startswith("/") else f"/{path}",
        Fields(fields_of(mutator)),
        Fields(fields_of(mutator)),
        headers,
        user=mutator.pick([None, "ann"]),
        can=PERMISSIONS,
    )


def answer(asked: Request) -> None:
    """Whatever is asked, it is an answer of the screen and no error of it."""
    response = screen().answer(asked)
    assert response.status < 500, response.body[:500]
    for name, value in response.headers:
        assert "\n" not in value, name
        assert "\r" not in value, name


def submitted(mutator: Mutator) -> dict[str, str]:
    inputs = [each.input for each in start_form().fields]
    names = [mutator.pick(inputs) for _ in range(mutator.pick([1, 2, 5]))]
    return {name: _value(mutator) for name in names}


def read_submission(values: dict[str, str]) -> None:
    read = read_form(start_form(), values)
    assert read.errors or read.options is not None
    json.dumps(read.values)


def read_session(text: str) -> None:
    accounts = Accounts({"ann": "hash"}, secret=b"s" * 32)
    sent = Request("GET", "/", headers={"cookie": f"a=b; graceful_{COOKIE}={text}"})
    cookies = cookies_of(sent, ScreenOptions())
    assert accounts.user_of(cookies) is None
    accounts.end(cookies)


SESSION = Accounts({"ann": "hash"}, secret=b"t" * 32).begin("ann")
SCREEN_TARGETS: dict[str, Target] = {
    "position of a page": Target(read_position, [IN_TAB, IN_ALL], make=coded),
    "request of a browser": Target(answer, make=request, most=0.5),
    "start form": Target(read_submission, make=submitted),
    "session": Target(read_session, [SESSION], longest=4000),
}
