"""Every way to end, with every kind of process: none outlives its owner."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from signal import SIGINT, SIGKILL, SIGTERM, SIGUSR1

import pytest

from tests.integration.processes.children import CHILDREN
from tests.integration.processes.conftest import Owner
from tests.integration.processes.owner import GRACE, READY

Own = Callable[[str, str], Owner]
#: Seconds that a busy machine may take beyond what is promised; a forgotten grace would show by 10.
SLACK = 8.0

kinds = pytest.mark.parametrize("kind", CHILDREN)


def left_to_itself(kind: str) -> str:
    """What comes out of a block that is not disturbed."""
    child = CHILDREN[kind]
    if child.never_ready:
        return "ProcessNotReady: "
    if child.ends_with is not None:
        return f"ended with exit code {child.ends_with}"
    return "went well"


@kinds
@pytest.mark.parametrize("way", ["succeeds", "stops", "in_a_thread"])
def test_the_end_of_the_block(own: Own, way: str, kind: str) -> None:
    owner = own(way, kind).begun()
    began = time.monotonic()
    said = owner.said()
    assert time.monotonic() - began < GRACE + READY + SLACK
    assert left_to_itself(kind) in said
    assert owner.process.returncode == 0, said
    owner.check_nothing_left(SLACK)


@kinds
def test_the_tasks_own_error_wins(own: Own, kind: str) -> None:
    owner = own("fails", kind).begun()
    said = owner.said()
    child = CHILDREN[kind]
    assert ("ProcessNotReady: " if child.never_ready else "KeyError: ") in said
    if child.ends_with is not None:
        assert f"ended with exit code {child.ends_with}" in said, "it is attached"
    owner.check_nothing_left(SLACK)


@kinds
@pytest.mark.parametrize(("number", "error"), [(SIGUSR1, "Limit"), (SIGTERM, "SystemExit")])
def test_an_exception_from_a_signal_comes_through(
    own: Own, number: int, error: str, kind: str
) -> None:
    owner = own("waits", kind).begun()
    began = time.monotonic()
    owner.process.send_signal(number)
    said = owner.said()
    assert f"{error}: " in said
    assert time.monotonic() - began < GRACE + SLACK
    owner.check_nothing_left(SLACK)


@kinds
@pytest.mark.parametrize("way", ["waits", "waits_forked"])
def test_sigkill_of_the_owner(own: Own, way: str, kind: str) -> None:
    owner = own(way, kind).begun()
    if way == "waits_forked" and not CHILDREN[kind].never_ready:
        assert owner.line() == "forked\n"
    owner.process.kill()
    owner.process.wait()
    owner.check_nothing_left(GRACE + SLACK)


@kinds
@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
def test_a_signal_to_the_owners_group_does_not_reach_the_guardian(
    own: Own, number: int, kind: str
) -> None:
    owner = own("waits", kind).begun()
    os.killpg(owner.process.pid, number)
    owner.process.send_signal(SIGKILL)
    owner.process.wait()
    owner.check_nothing_left(GRACE + SLACK)


@kinds
@pytest.mark.parametrize("way", ["exits", "leaves", "forgets"])
def test_an_owner_that_does_not_care(own: Own, way: str, kind: str) -> None:
    if CHILDREN[kind].never_ready and way != "forgets":
        pytest.skip("ready is waited for first")
    owner = own(way, kind).begun()
    owner.said()
    owner.check_nothing_left(GRACE + SLACK)


def test_a_second_signal_during_the_ladder_kills_at_once(own: Own) -> None:
    owner = own("waits_long_grace", "ignores-sigterm").begun()
    owner.process.send_signal(SIGUSR1)
    assert owner.line() == "asked to end\n"
    began = time.monotonic()
    owner.process.send_signal(SIGTERM)
    said = owner.said()
    assert time.monotonic() - began < SLACK
    assert "SystemExit: 15" in said
    owner.check_nothing_left(SLACK)
