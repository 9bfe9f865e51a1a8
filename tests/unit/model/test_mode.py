"""The maintenance mode as a value: whatever is done, an ``up`` undoes a ``down``."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_graceful.errors import ScopeNotDown
from celery_graceful.model.maintenance.held import Held, held_by
from celery_graceful.model.maintenance.mode import (
    EVERYTHING,
    LOG_LENGTH,
    Kind,
    Mode,
    Scope,
    hold_scopes,
    release_scopes,
    without_ended,
)
from celery_graceful.model.maintenance.mode_text import decode_mode, encode_mode

NAMES = st.sampled_from(["a", "b", "shop.*", "celery.chord_unlock"])
SCOPES = st.one_of(
    st.just(EVERYTHING),
    st.builds(Scope, st.sampled_from([Kind.QUEUE, Kind.TASK]), NAMES),
)
SETS = st.frozensets(SCOPES, min_size=1, max_size=3)
TERMS = st.one_of(st.none(), st.floats(1, 1000))


@st.composite
def modes(draw: st.DrawFn) -> Mode:
    mode, now = Mode(), 0.0
    for scopes, seconds in draw(st.lists(st.tuples(SETS, TERMS), max_size=4)):
        now += 10
        until = None if seconds is None else now + seconds
        mode = hold_scopes(mode, sorted(scopes), now=now, who="ann", until=until)
    return mode


@given(modes(), SETS)
def test_up_undoes_down(mode: Mode, scopes: frozenset[Scope]) -> None:
    now = 50.0
    mode = without_ended(mode, now)
    fresh = [scope for scope in sorted(scopes) if mode.hold_of(scope) is None]
    if fresh:
        back = release_scopes(
            hold_scopes(mode, fresh, now=now, who="bob"), fresh, now=now, who="bob"
        )
        assert back.holds == mode.holds


@given(modes(), SETS)
def test_down_holds_what_it_names_and_keeps_the_rest(mode: Mode, scopes: frozenset[Scope]) -> None:
    before = {hold.scope for hold in without_ended(mode, 50.0).holds}
    after = hold_scopes(mode, sorted(scopes), now=50.0, who="bob", reason="why")
    assert {hold.scope for hold in after.holds} == before | scopes
    assert all(hold.reason == "why" for hold in after.holds if hold.scope in scopes)


@given(modes())
def test_up_of_all_lifts_all(mode: Mode) -> None:
    after = release_scopes(mode, (), now=50.0, who="bob", ramp=5)
    assert not after.down
    assert not held_by(after)


@given(modes(), st.floats(0, 2000))
def test_holds_end_when_they_said_and_not_before(mode: Mode, now: float) -> None:
    left = without_ended(mode, now)
    for hold in mode.holds:
        assert (left.hold_of(hold.scope) is None) == (hold.until is not None and hold.until <= now)
    assert without_ended(left, now) == left
    end = left.next_end()
    assert end is None or end > now


@given(modes(), SCOPES)
def test_only_what_is_down_by_itself_can_be_lifted(mode: Mode, scope: Scope) -> None:
    now = 50.0
    if without_ended(mode, now).hold_of(scope) is None:
        with pytest.raises(ScopeNotDown):
            release_scopes(mode, [scope], now=now, who="bob")


@given(modes(), st.integers(0, 9))
def test_text_and_back(mode: Mode, version: int) -> None:
    mode = replace(release_scopes(mode, (), now=50.0, who="bob", ramp=3), version=version)
    assert decode_mode(encode_mode(mode), version) == mode
    assert decode_mode(encode_mode(mode, log=False), version) == replace(mode, log=())


def test_the_log_keeps_the_latest() -> None:
    mode = Mode()
    for number in range(LOG_LENGTH + 5):
        mode = hold_scopes(mode, [EVERYTHING], now=float(number), who="ann")
    assert [deed.at for deed in mode.log][:1] == [5.0]
    assert len(mode.log) == LOG_LENGTH


def test_a_pattern_does_not_mean_celerys_own_tasks() -> None:
    everyone = held_by(hold_scopes(Mode(), [Scope(Kind.TASK, "*")], now=0, who="ann"))
    assert everyone.task("shop.mail")
    assert not everyone.task("celery.chord_unlock")
    by_name = hold_scopes(Mode(), [Scope(Kind.TASK, "celery.chord_unlock")], now=0, who="ann")
    assert held_by(by_name).task("celery.chord_unlock")


def test_another_up_ends_a_ramp() -> None:
    mode = hold_scopes(Mode(), [EVERYTHING], now=1.0, who="a")
    ramping = release_scopes(mode, [], now=2.0, who="a", ramp=60)
    assert release_scopes(ramping, [], now=3.0, who="b", ramp=5) == ramping, "nothing is down"
    ended = release_scopes(ramping, [], now=3.0, who="b")
    assert ended.ramp is None
    assert [deed.who for deed in ended.log] == ["a", "a", "b"]
    assert release_scopes(ramping, [], now=63.0, who="b") == ramping, "it is over"


def test_a_ramp_goes_on_when_a_part_is_held() -> None:
    mode = hold_scopes(Mode(), [EVERYTHING], now=1.0, who="a")
    ramping = release_scopes(mode, [], now=2.0, who="a", ramp=60)
    part = hold_scopes(ramping, [Scope(Kind.QUEUE, "mail")], now=3.0, who="b")
    assert part.ramp == ramping.ramp
    assert hold_scopes(part, [EVERYTHING], now=4.0, who="b").ramp is None


@pytest.mark.parametrize("named", ["shop.orders.import_all", "shop.import_orders", "shop.import*"])
def test_a_renamed_task_is_held_under_all_its_names(named: str) -> None:
    renamed = {"shop.orders.import_all": ["shop.import_orders"], "shop.mail": ["shop.send"]}
    held = Held(tasks=(named,)).under_all_names(renamed)
    assert held.task("shop.orders.import_all")
    assert held.task("shop.import_orders")
    assert not held.task("shop.mail")
    assert not held.task("shop.send")
    assert Held().under_all_names(renamed) == Held()
