"""The loop: every item exactly once, and the count exact, whenever the fuse is blown."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celery_graceful.tasks.loop import CHUNK, Fuse, call_shape, drive, generator_turns


class Stop(BaseException):
    """Leaves the loop, as an interruption does."""


class Watch:
    """Notes what the loop tells, and stops it when a given number of looks is reached."""

    def __init__(self, stop_at: int | None = None, careful: bool = False) -> None:
        self.fuse: Fuse = []
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
    else:
        drive(source.pairs(), call_shape(source.work, (), {}), watch, cursor)


STYLES = pytest.mark.parametrize("style", ["generator", "class"])
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
def test_legs_add_up(
    style: str, size: int, blow: frozenset[int], stop_at: int, careful: bool
) -> None:
    """Interrupted and resumed until done: none lost, none repeated, none pulled in vain."""
    done: list[int] = []
    steps, cursor, legs = 0, None, 0
    while legs < 3000:
        legs += 1
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
    watch = Watch(stop_at=2)  # at the start, after the first item, and when blown
    source = Source(CHUNK, watch, frozenset([7]))
    with pytest.raises(Stop):
        run(style, source, watch)
    assert source.done == list(range(1, 8))


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


# -- the call that is compiled ----------------------------------------------------------------


def called(args: tuple[Any, ...], kwargs: dict[str, Any], around: Any = None) -> list[Any]:
    calls: list[Any] = []

    def each(*a: Any, **k: Any) -> None:
        calls.append((a, k))

    watch = Watch()
    drive(iter([("x", 1), ("y", 2)]), call_shape(each, args, kwargs, around), watch, None)
    assert (watch.done, watch.cursor) == (2, 2)
    return calls


#: Names in the loop's own code, Python's keywords, and what Python writes otherwise.
ODD = [
    "item",
    "each",
    "around",
    "turns",
    "fuse",
    "pairs",
    "place",
    "done",
    "cursor",
    "turn",
    "reached",
    "zip",
    "a0",
    "k0",
    "self",
    "cls",
    "args",
    "kwargs",
    "class",
    "from",
    "None",
    "True",
    "async",
    "await",
    "match",
    "print",
    "__debug__",
    "_",
    "ﬁ",
    "ª",
    "µ",
    "not-a-name",
]
NAMES = st.one_of(
    st.text(max_size=4),
    st.sampled_from(ODD),
)


@given(
    args=st.lists(st.integers(), max_size=4).map(tuple),
    kwargs=st.dictionaries(NAMES, st.integers(), max_size=4),
)
def test_arguments_arrive_as_given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    assert called(args, kwargs) == [(("x", *args), kwargs), (("y", *args), kwargs)]


def test_many_arguments() -> None:
    args = tuple(range(300))
    kwargs = {f"name_{i}": i for i in range(300)}
    assert called(args, kwargs)[1] == (("y", *args), kwargs)


@given(
    args=st.lists(st.integers(), max_size=2).map(tuple),
    kwargs=st.dictionaries(NAMES, st.integers(), max_size=2),
)
def test_around_gets_the_same(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    seen: list[Any] = []

    class Around:
        def __init__(self, /, *a: Any, **k: Any) -> None:
            seen.append(("in", a, k))

        def __enter__(self) -> None:
            seen.append("enter")

        def __exit__(self, *exc: object) -> None:
            seen.append("exit")

    assert len(called(args, kwargs, Around)) == 2
    assert seen[:3] == [("in", ("x", *args), kwargs), "enter", "exit"]
    assert len(seen) == 6


def test_an_error_passes_through_around() -> None:
    seen: list[Any] = []

    class Around:
        def __init__(self, item: Any) -> None:
            self.item = item

        def __enter__(self) -> None:
            pass

        def __exit__(self, kind: Any, *rest: object) -> None:
            seen.append((self.item, kind))

    def each(item: str) -> None:
        if item == "b":
            raise ValueError(item)

    watch = Watch()
    with pytest.raises(ValueError, match="b"):
        drive(iter([("a", 1), ("b", 2)]), call_shape(each, (), {}, Around), watch, None)
    assert seen == [("a", None), ("b", ValueError)]
    assert (watch.done, watch.cursor) == (1, 1)


def test_two_legs_with_the_same_shape_do_not_share_values() -> None:
    seen: list[Any] = []
    shapes = [call_shape(lambda *a, **k: seen.append((a, k)), (n,), {"k": n}) for n in (1, 2)]
    for turns in shapes:
        drive(iter([("x", 0)]), turns, Watch(), None)
    assert seen == [(("x", 1), {"k": 1}), (("x", 2), {"k": 2})]


def traceback_of(work: Callable[[], None]) -> list[str]:
    try:
        work()
    except ValueError as exc:
        names, trace = [], exc.__traceback__
        while trace is not None:
            names.append(trace.tb_frame.f_code.co_filename)
            trace = trace.tb_next
        return names
    raise AssertionError("no error")


def test_the_traceback_ends_in_the_users_code() -> None:
    watch = Watch()
    source = Source(2, watch, fail_at=2)
    names = traceback_of(lambda: run("class", source, watch))
    assert names[-1] == __file__
    assert "<celery_graceful loop>" in names
