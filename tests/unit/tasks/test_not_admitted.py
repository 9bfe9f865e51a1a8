"""Messages of runs of which nobody can say whether they may start."""

from __future__ import annotations

import pickle
from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import Reject

from celery_graceful._celery.task.delivery import NotAdmitted
from celery_graceful.errors import (
    CorruptRecord,
    NewerRecord,
    NotResumable,
    SettingsError,
    StoreError,
    StoreUnavailable,
)
from celery_graceful.execution import delivery

RUNTIME: Any = SimpleNamespace(settings=SimpleNamespace(lease_ttl=30.0))
TASK: Any = SimpleNamespace(name="shop.import", request=SimpleNamespace(id="i1"), max_crashes=None)
FLAG: Any = SimpleNamespace(worker="w", raised=False)


def enter(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def admit(*_: Any, **options: Any) -> Any:
        assert options["patience"](1.5), "a slot is not held for longer"
        assert not options["patience"](0.1)
        raise error

    monkeypatch.setattr(delivery, "admit", admit)
    monkeypatch.setattr(delivery, "PAUSE", 0.0)
    delivery.admitted(RUNTIME, TASK, FLAG, TASK.request)


@pytest.mark.parametrize(
    ("error", "of_store"),
    [
        (StoreUnavailable("away"), True),
        (StoreError("wrong password"), True),
        (SettingsError("no such store"), True),
        (NewerRecord("of a later version"), False),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), False),
        (ImportError("no driver"), False),
    ],
    ids=repr,
)
def test_its_message_waits(
    monkeypatch: pytest.MonkeyPatch, error: Exception, of_store: bool
) -> None:
    with pytest.raises(NotAdmitted) as raised:
        enter(monkeypatch, error)
    again = pickle.loads(pickle.dumps(raised.value))
    assert (again.store, again.requeue) == (of_store, True)


def test_a_damaged_record_fails_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CorruptRecord):
        enter(monkeypatch, CorruptRecord("damaged"))


def test_what_no_message_can_be_made_of_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Reject) as raised:
        enter(monkeypatch, NotResumable("no message"))
    assert not isinstance(raised.value, NotAdmitted)
