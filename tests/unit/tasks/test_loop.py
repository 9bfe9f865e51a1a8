"""The loop: every item exactly once, and the count exact, whenever the fuse is blown."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Generator, Iterator
from itertools import tee
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celery_graceful.execution.loop import (
    CHUNK,
    Fuse,
    Stand,
    Turns,
    call_shape,
    drive,
    generator_turns,
    iterator_turns,
)
from celery_graceful.execution.loop.pair_columns import columns_of


class Stop(BaseException):
    """Leaves the loop, as an interruption does."""


class Watch:
    """Notes what the loop tells, and stops it when a given number of looks is reached."""

    growth = 2

    def __init__(self, stop_at: int | None = None, careful: bool = False) -> None:
        self.fuse: Fuse = []
        self.stand: Stand | None = None
        self.cursor: Any = None
        self.done = 0
        self.looks = 0
        self.settled = 0
        self.stop_at = stop_at
        self.careful = careful

    def look(self, cursor: Any, done: int) -> None:
        self.looks += 1
        self.cursor, self.done = cursor, self.done + done
        if self.stop_at is not None and self.looks > self.stop_at:
            raise Stop
        if self.careful:
            self.fuse[:] = [0]

    def passed(self, cursor: Any, done: int) -> None:
        self.cursor, self.done = cursor, self.done + done

    def settle(self, cursor: Any, done: int) -> None:
        self.settled += 1
        self.cursor, self.done = cursor, self.done + done


class Source:
    """Items 1, 2, 3 …; blows the fuse before giving out some of them, and may fail at one."""

    def __init__(
        self,
        size: int,
        watch: Watch,
        blow: frozenset[int] = frozenset(),
        fail_at: int | None = None,
        start: int = 1,
    ) -> None:
        self.size, self.watch, self.blow, self.fail_at = size, watch, blow, fail_at
        self.given = start - 1
        self.done: list[int] = []

    def work(self, item: int) -> None:
        if item == self.fail_at:
            raise ValueError(item)
        self.done.append(item)

    def cursors(self) -> Iterator[int]:
        """As a generator task: work between the yields."""
        while self.given < self.size:
            self.given += 1
            if self.given in self.blow:
                self.watch.fuse.clear()
            self.work(self.given)
            yield self.given

    def pairs(self) -> Iterator[tuple[int, int]]:
        """As an enumerator: work in ``each``."""
        while self.given < self.size:
            self.given += 1
            if self.given in self.blow:
                self.watch.fuse.clear()
            yield self.given, self.given


def run(style: str, source: Source, watch: Watch, cursor: Any = None) -> None:
    if style == "generator":
        drive(source.cursors(), generator_turns, watch, cursor)
    elif style == "iterator":
        drive(source.cursors(), iterator_turns, watch, cursor)
    elif style == "columns":
        items, cursors = tee(item for item, _ in source.pairs())
        turns = call_shape(source.work, (), {}, in_columns=True)
        drive(columns_of(zip(items, cursors, strict=False)), turns, watch, cursor)
    else:
        drive(source.pairs(), call_shape(source.work, (), {}), watch, cursor)


STYLES = pytest.mark.parametrize("style", ["generator", "iterator", "class", "columns"])
SIZES = st.one_of(
    st.integers(0, 40),
    st.sampled_from([CHUNK - 1, CHUNK, CHUNK + 1, CHUNK + 2, 2 * CHUNK + 1, 2 * CHUNK + 2]),
)
BLOWS = st.frozensets(st.one_of(st.integers(1, 45), st.integers(CHUNK - 2, CHUNK + 3)), max_size=20)


@STYLES
@given(size=SIZES, blow=BLOWS, careful=st.booleans())
def test_every_item_once_and_the_count_exact(
    style: str, size: int, blow: frozenset[int], careful: bool
) -> None:
    watch = Watch(careful=careful)
    source = Source(size, watch, blow)
    run(style, source, watch)
    assert source.done == list(range(1, size + 1))
    assert watch.done == size
    assert watch.cursor == (size or None)


@STYLES
@given(size=SIZES, blow=BLOWS, stop_at=st.integers(0, 6), careful=st.booleans())
def test_executions_add_up(
    style: str, size: int, blow: frozenset[int], stop_at: int, careful: bool
) -> None:
    """Interrupted and resumed until done: none lost, none repeated, none pulled in vain."""
    done: list[int] = []
    steps, cursor, executions = 0, None, 0
    while executions < 3000:
        executions += 1
        watch = Watch(stop_at + 1, careful)
        watch.cursor = cursor
        source = Source(size, watch, blow, start=(cursor or 0) + 1)
        try:
            run(style, source, watch, cursor)
            ended = True
        except Stop:
            ended = False
        assert source.given == (watch.cursor or 0)
        done += source.done
        steps, cursor = steps + watch.done, watch.cursor
        if ended:
            break
    assert done == list(range(1, size + 1))
    assert (steps, cursor) == (size, size or None)


@STYLES
@given(
    size=st.integers(1, 30),
    blow=BLOWS,
    fail=st.integers(1, 30),
    careful=st.booleans(),
)
def test_an_error_settles_before_the_failed_item(
    style: str, size: int, blow: frozenset[int], fail: int, careful: bool
) -> None:
    watch = Watch(careful=careful)
    source = Source(size, watch, blow, fail_at=fail)
    if fail > size:
        run(style, source, watch)
    else:
        with pytest.raises(ValueError, match=str(fail)):
            run(style, source, watch)
    good = min(size, fail - 1)
    assert source.done == list(range(1, good + 1))
    assert (watch.done, watch.cursor) == (good, good or None)
    assert watch.settled == 1


@given(size=st.integers(1, 30), fail=st.integers(1, 30), blow=BLOWS)
def test_an_error_of_the_enumerator_settles_after_the_last_item(
    size: int, fail: int, blow: frozenset[int]
) -> None:
    watch = Watch()
    source = Source(size, watch, blow)

    def pairs() -> Iterator[tuple[int, int]]:
        for item, cursor in source.pairs():
            if item == fail:
                raise OSError(item)
            yield item, cursor
        raise OSError("at the end")

    with pytest.raises(OSError, match=r"\d|at the end"):
        drive(pairs(), call_shape(source.work, (), {}), watch, None)
    good = min(size, fail - 1)
    assert source.done == list(range(1, good + 1))
    assert (watch.done, watch.cursor) == (good, good or None)


@STYLES
def test_the_cursor_of_the_start_stands_when_there_is_no_item(style: str) -> None:
    watch = Watch()
    run(style, Source(0, watch), watch, cursor="seed")
    assert (watch.cursor, watch.done) == ("seed", 0)


@STYLES
def test_the_first_look_comes_before_the_first_item_and_the_second_after_it(style: str) -> None:
    for stop_at, done in ((0, 0), (1, 1)):
        watch = Watch(stop_at)
        source = Source(CHUNK, watch)
        with pytest.raises(Stop):
            run(style, source, watch)
        assert (len(source.done), source.given, watch.done) == (done, done, done)


@STYLES
def test_blown_in_a_look_ends_at_the_next_turn(style: str) -> None:
    """What is due while the watcher deals with something else is not forgotten."""

    class Eager(Watch):
        def look(self, cursor: Any, done: int) -> None:
            super().look(cursor, done)
            if self.looks < 10:
                self.fuse.clear()

    watch = Eager()
    source = Source(5, watch)
    run(style, source, watch)
    assert (source.done, watch.done) == ([1, 2, 3, 4, 5], 5)
    assert watch.looks >= 10


@STYLES
@settings(max_examples=15, deadline=None)
@given(size=st.integers(1, 30_000))
def test_blown_from_another_thread_all_the_time(style: str, size: int) -> None:
    watch = Watch()
    source = Source(size, watch)
    over = threading.Event()

    def blow() -> None:
        while not over.is_set():
            watch.fuse.clear()

    thread = threading.Thread(target=blow)
    thread.start()
    try:
        run(style, source, watch)
    finally:
        over.set()
        thread.join()
    assert source.done == list(range(1, size + 1))
    assert (watch.done, watch.cursor) == (size, size)


@STYLES
def test_a_blown_fuse_is_seen_after_the_item_under_way(style: str) -> None:
    watch = Watch(stop_at=3)  # at the start, after 1 and 3 items, and when blown
    source = Source(CHUNK, watch, frozenset([6]))
    with pytest.raises(Stop):
        run(style, source, watch)
    assert source.done == list(range(1, 7))


class Noting(Watch):
    """Notes after how many items it looked up, and after how many it was only told."""

    def __init__(self, growth: int) -> None:
        super().__init__()
        self.growth = growth
        self.seen: list[int] = []
        self.told: list[int] = []

    def look(self, cursor: Any, done: int) -> None:
        super().look(cursor, done)
        self.seen.append(self.done)

    def passed(self, cursor: Any, done: int) -> None:
        super().passed(cursor, done)
        self.told.append(self.done)


@STYLES
@pytest.mark.parametrize(
    ("growth", "looks"), [(2, [2**n - 1 for n in range(12)]), (16, [0, 1, 17, 273, 273 + CHUNK])]
)
def test_looks_come_at_growing_strides_and_then_only_when_something_is_due(
    style: str, growth: int, looks: list[int]
) -> None:
    watch = Noting(growth)
    run(style, Source(4 * CHUNK, watch), watch)
    assert watch.seen == looks[: len(watch.seen)]
    assert len(watch.seen) >= len(looks) - 1
    assert watch.told == [watch.seen[-1] + n * CHUNK for n in (1, 2)] or watch.told == [
        watch.seen[-1] + n * CHUNK for n in (1, 2, 3)
    ]


@STYLES
def test_blown_in_a_whole_stretch_it_looks_up(style: str) -> None:
    watch = Noting(16)
    last = 1 + 16 + 256 + 2 * CHUNK  # the last item of a stretch, so that all of it goes by
    run(style, Source(4 * CHUNK, watch, frozenset([last])), watch)
    assert last in watch.seen
    assert watch.done == 4 * CHUNK


@pytest.mark.parametrize("turns", [iterator_turns, generator_turns])
def test_blown_after_the_last_item_the_end_is_the_end(turns: Turns) -> None:
    watch = Watch(stop_at=2)  # at the start and after the first item: another would leave
    ends = []

    def items() -> Generator[int, None, str]:
        yield from range(1, 3)
        watch.fuse.clear()
        ends.append("ended")
        return "result"

    returned = drive(items(), turns, watch, 0)
    assert (watch.cursor, watch.done, watch.settled, ends) == (2, 2, 1, ["ended"])
    assert returned == (None if turns is iterator_turns else "result")


@STYLES
def test_what_leaves_an_item_is_not_swallowed(style: str) -> None:
    for leave in (KeyboardInterrupt, SystemExit, GeneratorExit):
        watch = Watch()
        source = Source(3, watch)

        def work(item: int, leave: type[BaseException] = leave, source: Source = source) -> None:
            if item == 3:
                raise leave
            source.done.append(item)

        source.work = work  # type: ignore[method-assign]
        with pytest.raises(leave):
            run(style, source, watch)
        assert (source.done, watch.done) == ([1, 2], 2)


@pytest.mark.parametrize("number", [1, 2, 5])
def test_what_is_no_pair_is_not_counted(number: int) -> None:
    watch = Watch()
    pairs = [(n, n) for n in range(1, number)] + [number]
    with pytest.raises(TypeError, match="cannot unpack"):
        drive(iter(pairs), call_shape(lambda item: None, (), {}), watch, None)
    assert (watch.done, watch.cursor) == (number - 1, number - 1 or None)


@STYLES
def test_count_and_cursor_agree_wherever_an_exception_strikes(style: str) -> None:
    """As that of a soft time limit, which a signal's handler raises."""

    def strike(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, strike)
    struck = 0
    gc.disable()  # others look on while garbage is collected, and would swallow it
    try:
        for number in range(60):
            watch = Watch()
            source = Source(1_000_000, watch)
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0005 + number * 1.7e-5)
                run(style, source, watch)
            except TimeoutError:
                struck += 1
            assert watch.done == (watch.cursor or 0)
            assert watch.done <= len(source.done)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()
    assert struck > 50  # one may be swallowed in a destructor


def test_the_columns_of_pairs() -> None:
    counted = enumerate("abc", 7)
    next(counted)
    assert [*zip(*columns_of(counted), strict=False)] == [(8, "b"), (9, "c")]
    assert [*zip(*columns_of(zip("ab", "cd", strict=False)), strict=False)] == [*zip("ab", "cd")]  # noqa: B905


def test_other_pairs_have_no_columns() -> None:
    others: list[Any] = [iter([]), zip("a"), zip("a", "b", "c"), zip("a", "b", strict=True)]  # noqa: B905
    assert [columns_of(pairs) is pairs for pairs in others] == [True] * 4
