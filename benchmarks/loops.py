"""The tasks of the benchmark ``items``, and the same loops without the plugin."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from celery import Celery

from benchmarks.inside import carry
from celery_graceful.tasks import IterableTask

ITEMS = 1_000_000
#: Lasts for several checkpoint intervals.
MANY = 50_000_000
#: How many times the bare loop a run may cost.
GENERATOR, WITH_RESULT, CLASS, CALLED = 1.4, 1.5, 1.5, 2.0


@dataclass(frozen=True, slots=True)
class Pair:
    """A run, the same loop without the plugin, and perhaps another such loop."""

    what: str
    items: int
    sides: Sequence[Callable[[], object]]
    bound: float


# -- the tasks: empty bodies -----------------------------------------------------------------


def all_numbers(*, cursor: int = -1) -> Iterator[int]:
    """A generator without arguments."""
    for number in range(cursor + 1, ITEMS):  # noqa: UP028 - a body as tasks have one
        yield number


def numbers(n: int, step: int = 1, *, cursor: int = -1) -> Iterator[int]:
    """A generator that returns nothing."""
    for number in range(cursor + 1, n, step):  # noqa: UP028
        yield number


def with_result(n: int, step: int = 1, *, cursor: int = -1) -> Any:
    """A generator that returns a result."""
    for number in range(cursor + 1, n, step):  # noqa: UP028
        yield number
    return n


class EachOfAll(IterableTask):
    """The class style without arguments."""

    name = "benchmarks.each_of_all"

    def build_enumerator(self, *, cursor: Any) -> Iterator[tuple[int, int]]:
        for number in range(0 if cursor is None else cursor + 1, ITEMS):
            yield number, number

    def each_iteration(self, item: int) -> None:
        pass


class Each(IterableTask):
    """The class style with arguments."""

    name = "benchmarks.each"

    def build_enumerator(self, n: int, step: int = 1, *, cursor: Any) -> Iterator[tuple[int, int]]:
        for number in range(0 if cursor is None else cursor + 1, n, step):
            yield number, number

    def each_iteration(self, item: int, n: int, step: int = 1) -> None:
        pass


PAIRS: dict[str, Callable[[int], Any]] = {
    "zip": lambda n: zip(range(n), range(n)),  # noqa: B905 - as long as each other
    "enumerate": lambda n: enumerate(range(n)),
    "a list": lambda n: [(number, number) for number in range(n)],
    "a generator expression": lambda n: ((number, number) for number in range(n)),
}


class EachOver(IterableTask):
    """The class style over enumerators that cost less than a generator."""

    name = "benchmarks.each_over"

    def build_enumerator(self, kind: str, *, cursor: Any) -> Any:
        return made[kind]

    def each_iteration(self, item: int, kind: str) -> None:
        pass


#: What the next run of :class:`EachOver` iterates over: making it is no part of the loop.
made: dict[str, Any] = {}


def register(app: Celery) -> dict[str, Any]:
    """Make tasks of them all."""
    tasks: dict[str, Any] = {
        body.__name__: app.task(base=IterableTask, name=f"benchmarks.{body.__name__}")(body)
        for body in (all_numbers, numbers, with_result)
    }
    classes = {"each": Each(), "of_all": EachOfAll(), "over": EachOver()}
    return {**tasks, **{name: app.register_task(task) for name, task in classes.items()}}


# -- the loops without the plugin ------------------------------------------------------------


def exhaust(items: Iterator[Any]) -> None:
    """The loop of the generator style."""
    for _ in items:
        pass


def call(pairs: Any, each: Any) -> None:
    """The loop of the class style, without arguments."""
    for item, _ in pairs:
        each(item)


def call_1(pairs: Any, each: Any, first: Any) -> None:
    """With one argument."""
    for item, _ in pairs:
        each(item, first)


def call_2(pairs: Any, each: Any, first: Any, second: Any) -> None:
    """With one positional and one keyword argument."""
    for item, _ in pairs:
        each(item, first, step=second)


# -- side by side ----------------------------------------------------------------------------


def pairs(tasks: dict[str, Any], n: int) -> Iterator[Pair]:
    """All pairs, with ``n`` items each."""
    step = {"step": 1}
    yield _generator("generator, no arguments", tasks["all_numbers"], all_numbers, (), {}, n)
    yield _generator("generator, 1 argument", tasks["numbers"], numbers, (n,), {}, n)
    yield _generator("generator, 1 + 1 keyword", tasks["numbers"], numbers, (n,), step, n)
    yield _generator(
        "generator with result", tasks["with_result"], with_result, (n,), {}, n, WITH_RESULT
    )
    of_all, each = tasks["of_all"], tasks["each"]

    def bare() -> None:
        call(of_all.build_enumerator(cursor=None), of_all.each_iteration)

    def bare_2() -> None:
        call_2(each.build_enumerator(n, step=1, cursor=None), each.each_iteration, n, 1)

    yield Pair("class, no arguments", n, [lambda: carry(of_all, (), {}, n), bare], CLASS)
    yield _class(each, n, "class, 1 argument")
    yield Pair("class, 1 + 1 keyword", n, [lambda: carry(each, (n,), step, n), bare_2], CLASS)
    for kind in PAIRS:
        yield _over(tasks["over"], kind, n)
    for how, way in {"called directly": _directly, "eager": _eagerly}.items():
        yield _called(f"generator, {how}", way, tasks["numbers"], n, _bare_numbers(n))
        yield _called(f"class, {how}", way, each, n, _bare_each(each, n))


def long_pairs(tasks: dict[str, Any]) -> Iterator[Pair]:
    """Pairs that last for several flushes."""
    many = f"{MANY // 1_000_000} million items"
    yield _generator(f"generator, {many}", tasks["numbers"], numbers, (MANY,), {}, MANY)
    yield _class(tasks["each"], MANY, f"class, {many}")


def _class(each: Any, n: int, what: str) -> Pair:
    return Pair(what, n, [lambda: carry(each, (n,), {}, n), _bare_each(each, n)], CLASS)


def _bare_each(each: Any, n: int) -> Callable[[], None]:
    return lambda: call_1(each.build_enumerator(n, cursor=None), each.each_iteration, n)


def _bare_numbers(n: int) -> Callable[[], None]:
    return lambda: exhaust(numbers(n))


def _over(task: Any, kind: str, n: int) -> Pair:
    def ours() -> None:
        carry(task, (kind,), {}, n)

    def bare() -> None:
        call_1(made[kind], task.each_iteration, kind)

    sides = [_Prepared(loop, lambda: made.update({kind: PAIRS[kind](n)})) for loop in (ours, bare)]
    return Pair(f"class over {kind}", n, sides, CLASS)


@dataclass(frozen=True)
class _Prepared:
    """A loop, and what is to be done before it is measured."""

    loop: Callable[[], None]
    prepare: Callable[[], None]

    def __call__(self) -> None:
        self.loop()


def _called(
    what: str, way: Callable[[Any, int], Any], task: Any, n: int, bare: Callable[[], None]
) -> Pair:
    return Pair(what, n, [lambda: way(task, n), bare], CALLED)


def _directly(task: Any, n: int) -> None:
    task(n)


def _eagerly(task: Any, n: int) -> None:
    task.apply((n,)).get()


def _generator(
    what: str,
    task: Any,
    body: Callable[..., Iterator[Any]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    n: int,
    bound: float = GENERATOR,
) -> Pair:
    return Pair(
        what,
        n,
        [
            lambda: carry(task, args, kwargs, n),
            lambda: exhaust(body(*args, **kwargs)),
            lambda: deque(body(*args, **kwargs), maxlen=0),
        ],
        bound,
    )
