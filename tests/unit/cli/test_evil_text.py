"""Reasons, names and hosts that hold what a terminal obeys, or what is no text at all."""

from __future__ import annotations

import json

import pytest

from celery_graceful.maintenance.mode_changes import NOTICE
from celery_graceful.runtime import Runtime
from celery_graceful.stores.base import NOTICES
from tests.unit.cli.shop import Run
from tests.unit.maintenance.workers import attend
from tests.unit.trust.test_printable import EVIL, UNSAFE

pytestmark = pytest.mark.usefixtures("queues")


def test_a_reason_that_is_no_utf8(call: Run, runtime: Runtime) -> None:
    done = call("down", "--reason", "caf\udce9")
    assert done.exit_code == 0
    assert r"caf\xe9" in call("status").stdout
    assert json.loads(call("status", "--json").stdout)["holds"][0]["reason"] == r"caf\xe9"
    assert call("up").exit_code == 0


def test_an_evil_reason(call: Run, runtime: Runtime) -> None:
    assert call("down", "-Q", "mail", "--reason", EVIL).exit_code == 0
    attend(runtime.store, f"w{EVIL}@host", version=1)
    for words in (("status",), ("status", "--json"), ("up",)):
        done = call(*words)
        assert not UNSAFE.search((done.stdout + done.stderr).replace("\n", "")), words


@pytest.mark.parametrize(
    "bad", [b"caf\xe9", b"\xed\xa0\x80", b"\x1b[2J".replace(b"\x1b", b"\\u001b")]
)
def test_a_bad_reason_in_the_store_hides_nothing(call: Run, runtime: Runtime, bad: bytes) -> None:
    """As another program, or an earlier version, may have written it."""
    call("down", "-Q", "mail", "--reason", "MARK")
    client = runtime.store._own_caller().server(b"")  # type: ignore[attr-defined]
    key = runtime.store._keys.texts(NOTICES)[0]  # type: ignore[attr-defined]
    client.hset(key, NOTICE, client.hget(key, NOTICE).replace(b"MARK", bad))
    for words in (("status",), ("status", "--json")):
        done = call(*words)
        assert "mail" in done.stdout
        assert not UNSAFE.search(done.stdout.replace("\n", ""))
    assert call("up").exit_code == 0
