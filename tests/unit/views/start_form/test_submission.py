"""What is read from forms that come back."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID, uuid4

import pytest
from celery import Celery
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from celery_graceful import Graceful, IterableTask
from celery_graceful.views.start_form.form import Form, make_form
from celery_graceful.views.start_form.submission import field_of_error, read_form, run_id


class Color(enum.Enum):
    RED = "r"
    BLUE = "b"


class Order(BaseModel):
    number: int


@pytest.fixture(scope="module")
def app() -> Iterator[Celery]:
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.update(graceful_store="memory://", timezone="UTC")
    Graceful(app)
    yield app
    app.close()


@pytest.fixture(scope="module")
def form_of(app: Celery) -> Callable[..., Form]:
    def make(function: Callable[..., Any], **options: Any) -> Form:
        decorate: Any = app.task(base=IterableTask, shared=False, name=uuid4().hex, **options)
        return make_form(decorate(function))

    return make


def one(kind: Any) -> Callable[..., Any]:
    def walk(x: Any, *, cursor: Any = None) -> Iterator[Any]:
        yield x

    walk.__annotations__["x"] = kind
    return walk


GOOD: list[tuple[Any, str, Any]] = [
    (str, " a\r\nb ", " a\nb "),
    (str, "<b>\u202e", "<b>\u202e"),
    (int, " -5 ", -5),
    (float, "1e3", 1000.0),
    (bool, "no", False),
    (date, "2026-02-03", date(2026, 2, 3)),
    (datetime, "2026-02-03T04:05", datetime(2026, 2, 3, 4, 5, tzinfo=timezone.utc)),
    (datetime, "2026-02-03T04:05Z", datetime(2026, 2, 3, 4, 5, tzinfo=timezone.utc)),
    (
        datetime,
        "2026-02-03T04:05+01:00",
        datetime(2026, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=1))),
    ),
    (Decimal, "1.50", Decimal("1.50")),
    (UUID, "6f2d5b5c3a3c4d0e9d0f2b7c1f0e8a11", UUID("6f2d5b5c-3a3c-4d0e-9d0f-2b7c1f0e8a11")),
    (Color, "1", "b"),
    (Literal["1", 1, True], "1", 1),
    (list[int], "[1, null]", [1, None]),
    (Any, "null", None),
]


@pytest.mark.parametrize(("kind", "text", "value"), GOOD, ids=repr)
def test_a_value_is_read(form_of: Callable[..., Form], kind: Any, text: str, value: Any) -> None:
    read = read_form(form_of(one(kind)), {"arg.x": text})
    assert read.ok, read.errors
    assert read.kwargs == {"x": value}
    assert type((read.kwargs or {})["x"]) is type(value)


WRONG = [
    (str, "a\x00b", "NUL"),
    (str, "", "Write a value"),
    (str, "x" * 300_000, "300000 characters"),
    (int, "1.5", "not a whole number"),
    (int, "9" * 5000, "not a whole number"),
    (int, "\u0661\u0662\x1b", "not a whole number"),
    (float, "nan", "not a finite number"),
    (float, "1,5", "not a number"),
    (bool, "true", "neither yes nor no"),
    (date, "30.11.2026", "Example: 2026-11-30"),
    (datetime, "2026-13-01T00:00", "Example: 2026-11-30T14:30"),
    (Decimal, "Infinity", "finite"),
    (Decimal, "x", "Example: 19.99"),
    (UUID, "x", "not a UUID"),
    (Color, "9", "none of the choices"),
    (Color, "RED", "none of the choices"),
    (list[int], "[" * 100_000, "nested too deeply"),
    (list[int], "{'a': 1}", "not JSON"),
    (list[int], '{"a": 1, "a": 2}', "twice"),
    (Any, "2026-01-01", 'in quotes: "2026-01-01"'),
    (Any, "None", "null"),
    (Any, "NaN", "no number"),
]


@pytest.mark.parametrize(("kind", "text", "why"), WRONG, ids=lambda value: repr(value)[:30])
def test_what_cannot_be_read_is_said_at_its_field(
    form_of: Callable[..., Form], kind: Any, text: str, why: str
) -> None:
    read = read_form(form_of(one(kind)), {"arg.x": text})
    assert not read.ok
    assert why in (read.errors or {})["arg.x"]
    assert read.values["arg.x"] == text
    assert len((read.errors or {})["arg.x"]) < 400


def many(
    a: int,
    b: str = "abc",
    /,
    c: Color = Color.RED,
    *rest: Any,
    d: int | None = 5,
    e: str | None = None,
    cursor: Any = None,
    **more: Any,
) -> Iterator[int]:
    yield a


def test_what_is_left_as_it_is_is_left_to_the_task(form_of: Callable[..., Form]) -> None:
    form = form_of(many)
    untouched = {f.input: f.default_text or "" for f in form.fields}
    read = read_form(form, {**untouched, "arg.a": "1"})
    assert (read.args, read.kwargs, read.options) == ((1,), {}, {})
    assert (read_form(form, {"arg.a": "1"}).args, read.errors) == ((1,), {})


def test_arguments_find_their_places(form_of: Callable[..., Form]) -> None:
    form = form_of(many)
    read = read_form(form, {"arg.a": "1", "arg.*rest": "[7]", "arg.d": "", "arg.e": "x"})
    assert (read.args, read.kwargs) == ((1, "abc", "r", 7), {"d": None, "e": "x"})
    read = read_form(form, {"arg.a": "1", "arg.b": "", "arg.c": "1", "arg.**more": '{"f": 1}'})
    assert (read.args, read.kwargs) == ((1, ""), {"c": "b", "f": 1})
    for name, text in (("*rest", "{}"), ("**more", "[]"), ("**more", '{"cursor')):
        assert f"arg.{name}" in (read_form(form, {"arg.a": "1", f"arg.{name}": text}).errors or {})
    twice = read_form(form, {"arg.a": "1", "arg.**more": '{"d": 1, "e": 2}', "arg.d": "7"})
    assert twice.errors == {"arg.**more": "d has a field of its own."}
    assert not read_form(form, {"arg.a": "1", "arg.**more": '{"cursor": 1}'}).ok


def test_options_are_those_of_a_start(form_of: Callable[..., Form]) -> None:
    form = form_of(many)
    given = {"cursor": "[3, 41]", "pause_after": "10", "limit": "", "tags": "a, b,,a", "once": "k"}
    read = read_form(form, {"arg.a": "1", **{f"opt.{name}": v for name, v in given.items()}})
    assert read.options == {"cursor": [3, 41], "pause_after": 10, "tags": ("a", "b"), "once": "k"}
    wrong = read_form(form, {"arg.a": "1", "opt.limit": "0", "opt.cursor": "x"})
    assert set(wrong.errors or {}) == {"opt.limit", "opt.cursor"}
    assert field_of_error(form, "once: '?' cannot be a key") == "opt.once"
    assert field_of_error(form, "something else: no") == ""


def test_models_of_pydantic_say_what_is_wrong(form_of: Callable[..., Form]) -> None:
    def takes(order: Order, *, cursor: Any = None) -> Iterator[int]:
        yield 1

    form = form_of(takes, pydantic=True)
    assert read_form(form, {"arg.order": '{"number": 5}'}).ok
    errors = read_form(form, {"arg.order": '{"number": "x"}'}).errors
    assert errors is not None
    assert "number" in errors["arg.order"]


def test_the_same_form_is_the_same_run(form_of: Callable[..., Form]) -> None:
    form = form_of(many)
    first = run_id(form, "token", {"arg.a": "1"})
    assert str(UUID(first)) == first
    assert first == run_id(form, "token", {"arg.a": "1"})
    assert first != run_id(form, "token", {"arg.a": "2"})
    assert first != run_id(form, "other", {"arg.a": "1"})


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(values=st.dictionaries(st.sampled_from(["a", "b", "c", "*rest", "d", "**more"]), st.text()))
def test_whatever_comes_nothing_is_raised(
    form_of: Callable[..., Form], values: dict[str, str]
) -> None:
    form = form_of(many)
    read = read_form(form, {f"arg.{name}": text for name, text in values.items()})
    assert read.ok or all(isinstance(why, str) and why for why in (read.errors or {}).values())
