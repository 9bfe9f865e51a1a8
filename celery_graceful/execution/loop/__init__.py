"""The loop over items, and the fuse that ends it.

Per item nothing is tested in Python: the loop runs over ``zip(fuse, items)``, or over the fuse and
resumes a generator at each turn. A ticker thread *blows* the fuse, a list, by emptying it. Its
iterator then ends before the next item is taken, so that no item is ever pulled and dropped. The
fuse's numbers count the items for free.
"""

from __future__ import annotations

import keyword
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, Protocol

from celery_graceful.sources.skipping import SKIPPED, UNMOVED

#: The name under which the compiled loop appears in tracebacks.
LOOP_FILE = "<celery_graceful loop>"

#: Items between two rebuilds of the loop; large enough to cost nothing, small enough for a cache.
CHUNK = 1024

#: Emptied by the ticker: ``fuse.clear()``.
Fuse = list[int]

_TURNS = list(range(CHUNK))


class Interrupted(BaseException):
    """Ends the loop; never seen by users, nor by their ``except Exception``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LimitReached(BaseException):
    """Ends the loop where the run was asked to end; never seen by users."""


class Place:
    """Where a loop stands: the cursor up to which all is done, and the turns done since."""

    __slots__ = ("cursor", "returned", "skipped", "turns")

    def __init__(self, cursor: Any) -> None:
        self.cursor = cursor
        self.turns = 0
        #: What an exhausted generator returned.
        self.returned: Any = None
        #: Whether the loop stands in a stretch without items, at a marker of its source.
        self.skipped = False


class Stand:
    """Where a loop is just now. Costs the loop nothing: its iterator counts anyhow."""

    __slots__ = ("_before", "_numbers")

    def __init__(self, before: int, numbers: Iterator[int]) -> None:
        self._before = before
        self._numbers = numbers

    @property
    def begun(self) -> int:
        """How many items have begun since the loop did. From any thread."""
        return self._before + (_taken(self._numbers) or 0)

    def within(self) -> tuple[int, Any] | None:
        """The items done since the last look, and the cursor. Only from within an item.

        Read from the loop's own variables, further up the stack: the loop does nothing for it.
        """
        frame = sys._getframe(1)
        while frame is not None:
            code = frame.f_code
            if code.co_filename == LOOP_FILE or code in _GENERATOR_LOOPS:
                known = frame.f_locals
                if known.get("numbers") is self._numbers:
                    done, cursor = (_taken(self._numbers) or 1) - 1, known["cursor"]
                    if sys.version_info < (3, 13):
                        known.clear()  # a copy, which would hold on to the item
                    return done, cursor
            frame = frame.f_back  # type: ignore[assignment]
        return None


def _taken(numbers: Iterator[int]) -> int | None:
    """How many numbers were taken; ``None`` once one was asked for and there was none."""
    # Not ``length_hint``: it counts from an end that the fuse has no more once it has blown.
    state = numbers.__reduce__()
    return int(state[2]) if len(state) > 2 else None


class Watcher(Protocol):
    """Whoever looks up from the loop when the fuse has blown."""

    fuse: Fuse
    #: How many times longer each of the first stretches is than the one before.
    growth: int
    #: Where the loop stands, for another thread; ``None`` while it stands still between items.
    stand: Stand | None

    def look(self, cursor: Any, done: int) -> None:
        """Deal with whatever is due; raises to leave the loop. ``done`` items since last time.

        Raises:
            LimitReached: the loop ends here, as if there were no more items.
        """

    def passed(self, cursor: Any, done: int) -> None:
        """A whole stretch of items went by, and the fuse has not blown. May look up as well."""

    def settle(self, cursor: Any, done: int) -> None:
        """Note where the loop ended, however it ended."""


#: The fuse's iterator, the items, where the loop stands.
Turns = Callable[[Iterator[int], Any, Place], None]


def drive(items: Any, turns: Turns, watcher: Watcher, cursor: Any) -> Any:
    """Run items until they are exhausted or ``watcher`` raises.

    Returns what a generator returned.
    """
    place = Place(cursor)
    fuse = watcher.fuse
    watcher.look(cursor, 0)
    # The next ones come at growing strides: a cursor that cannot be saved, or a transaction that is
    # left open, is reported early.
    stride, begun = 1, 0
    fuse[:] = _TURNS[:stride]
    while True:
        numbers = iter(fuse)
        watcher.stand = Stand(begun, numbers)
        try:
            turns(numbers, items, place)
        except BaseException:
            watcher.settle(place.cursor, place.turns)
            raise
        finally:
            watcher.stand = None
        done, place.turns = place.turns, 0
        begun += done
        # The items ended, not the numbers; also if the fuse has blown since: what a generator does
        # after its last item is not done twice, nor its result lost.
        if place.skipped:
            place.skipped = False
        elif _taken(numbers) is not None:
            watcher.settle(place.cursor, done)
            return place.returned
        elif done == len(fuse) == CHUNK:  # if it blows from here on, the next turn sees it
            watcher.passed(place.cursor, done)
            continue
        # Rearmed first: what blows it from here on is looked at in the next turn.
        stride = min(watcher.growth * stride, CHUNK)
        fuse[:] = _TURNS[:stride]
        watcher.look(place.cursor, done)


def iterator_turns(numbers: Iterator[int], items: Any, place: Place) -> None:
    """One stretch of an iterator of cursors that is no generator."""
    done, cursor = -1, place.cursor
    try:
        for done, cursor in zip(numbers, items):  # noqa: B007, B905 - the body is the iterator's
            pass
    finally:
        place.cursor, place.turns = cursor, done + 1


def generator_turns(numbers: Iterator[int], items: Any, place: Place) -> None:
    """One stretch of a generator of cursors.

    A ``for`` loop over it would drop what it returns, and with ``zip`` takes longer.
    """
    turn, cursor = -1, place.cursor
    resume = items.send
    try:
        for turn in numbers:
            try:
                cursor = resume(None)
            except BaseException:
                turn -= 1
                raise
    except StopIteration as end:
        place.returned = end.value
    finally:
        place.cursor, place.turns = cursor, turn + 1


_GENERATOR_LOOPS = (iterator_turns.__code__, generator_turns.__code__)

# What the loop uses is in its own variables: a global one costs more at each item. The inner block
# costs nothing unless it is left by an exception.
_TEMPLATE = """
def turns(numbers, pairs, place, *, {variables}):
    turn, cursor = -1, place.cursor
    try:
        for turn, {pair} in zip(numbers, {pairs}):
            {marker}
            try:
                {call}
                cursor = reached
            except BaseException:
                turn -= 1
                raise
    except (TypeError, ValueError):
        if taken(numbers) == turn + 1:  # what is no pair was taken, and could not be unpacked
            turn -= 1
        raise
    finally:
        place.cursor, place.turns = cursor, turn + 1
"""


# At a marker of the source, see `celery_graceful.sources.skipping`; only for sources with markers.
_MARKER = """if item is skipped:
                if reached is not unmoved: cursor = reached
                place.skipped = True
                turn -= 1
                break"""


def call_shape(
    each: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    around: Callable[..., AbstractContextManager[Any]] | None = None,
    *,
    has_markers: bool = False,
    in_columns: bool = False,
) -> Turns:
    """One stretch of (item, cursor) pairs: ``each(item, *args, **kwargs)``, spelled out.

    A call with ``*args`` costs several times as much as one with its arguments written out, so
    the loop is compiled for the number of arguments at hand, once per execution.
    """
    names = {f"a{i}": value for i, value in enumerate(args)}
    keywords = {f"k{i}": name for i, name in enumerate(kwargs)}
    plain = all(_may_be_written(name) for name in kwargs)
    passed = [*names, *(f"{name}={k}" for k, name in keywords.items())]
    values = {**names, **{k: kwargs[name] for k, name in keywords.items()}}
    if not plain:
        passed, values = ["*args", "**kwargs"], {"args": args, "kwargs": kwargs}
    given = ", ".join(["item", *passed])
    call = f"each({given})"
    if around is not None:
        call = f"with around({given}): {call}"
    scope: dict[str, Any] = {"each": each, "around": around, "taken": _taken, **values}
    if has_markers:
        scope |= {"skipped": SKIPPED, "unmoved": UNMOVED}
    exec(_compiled(call, tuple(scope), has_markers, in_columns), scope)
    turns: Turns = scope["turns"]
    return turns


def _may_be_written(name: str) -> bool:
    """Whether ``name=…`` may stand in a call; callers can pass any string by ``**``."""
    return (
        name.isascii()
        and name.isidentifier()
        and not keyword.iskeyword(name)
        and name != "__debug__"
    )


@cache
def _compiled(call: str, names: tuple[str, ...], has_markers: bool, in_columns: bool) -> Any:
    text = _TEMPLATE.format(
        variables=", ".join(f"{name}={name}" for name in names),
        pair="item, reached" if in_columns else "(item, reached)",
        pairs="*pairs" if in_columns else "pairs",
        marker=_MARKER if has_markers else "",
        call=call,
    )
    return compile(text, LOOP_FILE, "exec")
