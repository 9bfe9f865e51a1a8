"""Arguments of a run as they are shown: in JSON's types, short, and without what is secret."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st
from kombu.serialization import dumps

from celery_graceful import iterable_task
from celery_graceful._celery.message.envelope import Envelope
from celery_graceful._celery.message.shown_call import ShownCall, shown_call
from celery_graceful.errors import SettingsError
from celery_graceful.settings import read
from celery_graceful.text.masked_values import Shown

app = Celery("shown", broker="memory://", set_as_current=False)
app.conf.accept_content = ["json", "pickle"]


@iterable_task(app=app, name="shown.pay")  # type: ignore[untyped-decorator]
def pay(customer: str, iban: str, *, note: str = "", cursor: int | None = None) -> Any:
    yield from range(3)


def call(
    *args: Any, mask: Any = (), task: str = "shown.pay", serializer: str = "json", **kwargs: Any
) -> ShownCall:
    reprs = {name: kwargs.pop(name) for name in ("argsrepr", "kwargsrepr") if name in kwargs}
    sent = app.amqp.as_task_v2("id", task, args, kwargs, origin="gen7@host", **reprs)
    content_type, encoding, data = dumps(sent.body, serializer)
    body = data if isinstance(data, bytes) else data.encode()
    message = Envelope(body, content_type, encoding, sent.headers, {"priority": 3}, "", "q", "b")
    return shown_call(app, task, message, mask)


def test_they_are_shown_with_who_sent_them() -> None:
    assert call("ann", "DE99", note="hi") == (["ann", "DE99"], {"note": "hi"}, "gen7@host", 3)


@pytest.mark.parametrize("mask", [["iban"], frozenset({"IBAN"})])
def test_a_name_hides_what_is_given_by_it_or_by_its_place(mask: Any) -> None:
    assert call("ann", "DE99", mask=mask).args == ["ann", "***"]
    assert call("ann", iban="DE99", mask=mask).kwargs == {"iban": "***"}
    assert call("ann", {"to": [{"iban": "DE99"}]}, mask=["iban"]).args == ["ann", "***"]
    assert call({"to": [{"iban": "DE99"}]}, mask=["iban"]).args == [{"to": [{"iban": "***"}]}]


def test_where_the_task_is_not_known_its_place_may_be_any() -> None:
    assert call("ann", "DE99", mask=["iban"], task="other").args == ["***", "***"]
    assert call("ann", "DE99", task="other").args == ["ann", "DE99"]


def test_what_is_plainly_secret_is_hidden_without_being_named() -> None:
    shown = call("ann", "DE99", db_password="x", api_key="y", max_tokens=3, passenger="z")
    assert shown.kwargs == {
        "db_password": "***",
        "api_key": "***",
        "max_tokens": 3,
        "passenger": "z",
    }
    assert call("postgres://ann:hunter2@db/shop", "").args == ["postgres://ann:***@db/shop", ""]


def test_a_function_decides() -> None:
    def mask(task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return [task, len(args)], {**kwargs, "note": "hidden"}

    assert call("ann", "DE99", note="hi", mask=mask)[:2] == (["shown.pay", 2], {"note": "hidden"})


@pytest.mark.parametrize("mask", [lambda *_: 1 / 0, lambda *_: None, lambda: None])
def test_a_function_that_fails_hides_all(mask: Any) -> None:
    assert call("ann", "DE99", mask=mask)[:2] == (None, None)


def test_what_the_sender_wants_shown_is_shown() -> None:
    shown = call("ann", "DE99", argsrepr="('ann', <an account>)", kwargsrepr="<none of yours>")
    assert shown[:2] == ("('ann', <an account>)", "<none of yours>")
    assert call("ann", "DE99", argsrepr="('ann', 'DE99'!)", mask=["iban"]).args == "***"
    assert call(note="hi", kwargsrepr="{hi!}", mask=["note"]).kwargs == "***"
    assert call(note="hi", kwargsrepr="{hi!}", mask=lambda *_: ((), {})).kwargs == "***"


def test_what_can_run_code_is_not_read_to_be_shown() -> None:
    assert call("ann", "DE99", serializer="pickle").args == "('ann', 'DE99')"
    assert call("ann", "DE99", serializer="pickle", mask=["iban"]).args is None


def test_values_that_json_changes_are_no_wish_of_the_sender() -> None:
    at, number = datetime(2026, 1, 1, tzinfo=timezone.utc), uuid.UUID(int=7)
    shown = call((1, (2, 3)), {"at": at, "n": Decimal("1.5"), "u": number})
    assert shown.args == [
        [1, [2, 3]],
        {"at": "2026-01-01T00:00:00+00:00", "n": "1.5", "u": str(number)},
    ]


deep: Any = "end"
for _ in range(200):
    deep = [deep]


@pytest.mark.parametrize(
    "value",
    ["x" * 2_000_000, list(range(100_000)), {str(n): [n] * 99 for n in range(999)}, deep, 10**300],
    ids=["text", "list", "mapping", "deep", "number"],
)
def test_what_is_long_is_cut(value: Any) -> None:
    assert len(json.dumps(call(value, "").args)) < 60_000


anything: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@given(anything)
def test_anything_is_shown_as_json(value: Any) -> None:
    json.dumps(Shown(["name"]).value(value), allow_nan=False)


def test_the_setting() -> None:
    assert read({"graceful_mask": ["iban"]}).mask == frozenset({"iban"})
    assert read({"graceful_mask": print}).mask is print
    with pytest.raises(SettingsError, match="graceful_mask = 7"):
        read({"graceful_mask": 7})
