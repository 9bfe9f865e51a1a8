"""Cost per item of both styles against the same loop without the plugin, in one process."""

from __future__ import annotations

import gc
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from celery import Celery

from benchmarks.figures import Figure, ratio_at_most
from benchmarks.inside import carry, inside_a_worker
from celery_graceful.tasks import IterableTask

__all__ = ["measure", "register"]

ITEMS = 1_000_000
#: Lasts for several flush intervals.
MANY = 60_000_000
GENERATOR_BOUND, CLASS_BOUND = 1.65, 1.6

Loop = Callable[[], Any]


@dataclass
class Case:
    """One kind of task, and the loops it is held against."""

    what: str
    items: int
    carried: Callable[[], float]
    bare: Loop
    bound: float
    #: A second loop, for comparison only.
    other: Loop | None = None
    times: list[tuple[float, float, float]] = field(default_factory=list)

    def round(self, backwards: bool) -> None:
        """Measure each side once."""
        sides: list[Callable[[], float]] = [self.carried, lambda: _seconds(self.bare)]
        if self.other is not None:
            other = self.other
            sides.append(lambda: _seconds(other))
        order = range(len(sides))
        spent = [0.0, 0.0, 0.0]
        for side in reversed(order) if backwards else order:
            gc.collect()
            spent[side] = sides[side]()
        self.times.append((spent[0], spent[1], spent[2]))

    def figures(self) -> Iterator[Figure]:
        """The ratios of all rounds."""
        ours, bare = (median(t[i] for t in self.times) * 1e9 / self.items for i in (0, 1))
        note = f"{ours:.1f} ns against {bare:.1f} ns per item"
        ratios = [t[0] / t[1] for t in self.times]
        yield ratio_at_most("items", self.what, ratios, self.bound, note=note)
        if self.other is not None:
            ratios = [t[0] / t[2] for t in self.times]
            yield ratio_at_most("items", f"{self.what}, against deque(…, 0)", ratios, None)


def measure(*, quick: bool = False) -> list[Figure]:
    """Measure interleaved rounds of all cases."""
    rounds, long_rounds = (3, 0) if quick else (15, 3)
    with inside_a_worker() as app:
        tasks = register(app)
        cases = list(_cases(tasks, ITEMS))
        for case in cases:
            case.round(False)
            case.times.clear()  # the first round warms up
        for number in range(rounds):
            for case in cases:
                case.round(number % 2 == 1)
        if long_rounds:
            cases += _rounds(_long_cases(tasks), long_rounds)
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"  Python {version}", file=sys.stderr)
    return [figure for case in cases for figure in case.figures()]


def _rounds(cases: Iterator[Case], rounds: int) -> list[Case]:
    found = list(cases)
    for number in range(rounds):
        for case in found:
            case.round(number % 2 == 1)
    return found


def _seconds(loop: Loop) -> float:
    began = time.perf_counter()
    loop()
    return time.perf_counter() - began


# -- the tasks -------------------------------------------------------------------------------


def numbers(n: int, step: int = 1, *, cursor: int = -1) -> Iterator[int]:
    """Yields cursors, returns nothing."""
    yield from range(cursor + 1, n, step)


def plain_numbers(n: int, step: int = 1, *, cursor: int = -1) -> Iterator[int]:
    """Yields cursors from a loop, as tasks do; returns nothing."""
    for number in range(cursor + 1, n, step):
        yield number


def with_result(n: int, step: int = 1, *, cursor: int = -1) -> Any:
    """Yields cursors and returns a result."""
    for number in range(cursor + 1, n, step):
        yield number
    return n


class Each(IterableTask):
    """The class style, its number of items among the arguments."""

    name = "benchmarks.each"

    def build_enumerator(self, n: int, step: int = 1, *, cursor: Any) -> Any:
        for number in range(0 if cursor is None else cursor + 1, n, step):
            yield number, number

    def each_iteration(self, item: Any, n: int, step: int = 1) -> None:
        pass


class EachOfAll(IterableTask):
    """The class style without arguments."""

    name = "benchmarks.each_of_all"

    def build_enumerator(self, *, cursor: Any) -> Any:
        for number in range(0 if cursor is None else cursor + 1, ITEMS):
            yield number, number

    def each_iteration(self, item: Any) -> None:
        pass


def all_numbers(*, cursor: int = -1) -> Iterator[int]:
    """A generator without arguments."""
    for number in range(cursor + 1, ITEMS):
        yield number


def register(app: Celery) -> dict[str, Any]:
    """Make tasks of them all."""
    return {
        "all": app.task(all_numbers, base=IterableTask, name="benchmarks.all"),
        "numbers": app.task(plain_numbers, base=IterableTask, name="benchmarks.numbers"),
        "with_result": app.task(with_result, base=IterableTask, name="benchmarks.with_result"),
        "each": app.register_task(Each()),
        "each_of_all": app.register_task(EachOfAll()),
    }


# -- the loops without the plugin ------------------------------------------------------------


def exhaust(make: Callable[[], Iterator[Any]]) -> None:
    """The loop of the generator style."""
    for _ in make():
        pass


def call_each(pairs: Any, each: Any) -> None:
    """The loop of the class style, without arguments."""
    for item, _ in pairs:
        each(item)


def call_each_1(pairs: Any, each: Any, first: Any) -> None:
    """With one argument."""
    for item, _ in pairs:
        each(item, first)


def call_each_2(pairs: Any, each: Any, first: Any, second: Any) -> None:
    """With one positional and one keyword argument."""
    for item, _ in pairs:
        each(item, first, step=second)


def _cases(tasks: dict[str, Any], n: int) -> Iterator[Case]:
    yield _generator("generator, no arguments", tasks["all"], all_numbers, (), {}, n)
    yield from _generators(tasks, n, "")
    each, of_all = tasks["each"], tasks["each_of_all"]
    yield Case(
        "class, no arguments",
        n,
        lambda: carry(of_all, (), {}, n),
        lambda: call_each(of_all.build_enumerator(cursor=None), of_all.each_iteration),
        CLASS_BOUND,
    )
    yield _class_1(each, n, "class, 1 argument")
    yield Case(
        "class, 1 argument, 1 keyword",
        n,
        lambda: carry(each, (n,), {"step": 1}, n),
        lambda: call_each_2(
            each.build_enumerator(n, step=1, cursor=None), each.each_iteration, n, 1
        ),
        CLASS_BOUND,
    )


def _generators(tasks: dict[str, Any], n: int, suffix: str) -> Iterator[Case]:
    yield _generator("generator, 1 argument", tasks["numbers"], plain_numbers, (n,), {}, n)
    two = {"step": 1}
    yield _generator("generator, 1 + 1 keyword", tasks["numbers"], plain_numbers, (n,), two, n)
    yield _generator("generator with result", tasks["with_result"], with_result, (n,), {}, n)


def _long_cases(tasks: dict[str, Any]) -> Iterator[Case]:
    n = MANY
    yield _generator(f"generator, {n:,} items", tasks["numbers"], plain_numbers, (n,), {}, n)
    yield _class_1(tasks["each"], n, f"class, {n:,} items")


def _class_1(each: Any, n: int, what: str) -> Case:
    return Case(
        what,
        n,
        lambda: carry(each, (n,), {}, n),
        lambda: call_each_1(each.build_enumerator(n, cursor=None), each.each_iteration, n),
        CLASS_BOUND,
    )


def _generator(
    what: str,
    task: Any,
    body: Callable[..., Iterator[Any]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    n: int,
) -> Case:
    return Case(
        what,
        n,
        lambda: carry(task, args, kwargs, n),
        lambda: exhaust(lambda: body(*args, **kwargs)),
        GENERATOR_BOUND,
        lambda: deque(body(*args, **kwargs), maxlen=0),
    )
