"""The two ways to write an iterable task, brought to the one loop."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from typing import Any

from celery_graceful.errors import DefinitionError, TransactionError
from celery_graceful.execution.execution import Execution
from celery_graceful.execution.loop import (
    LOOP_FILE,
    Interrupted,
    LimitReached,
    Turns,
    call_shape,
    drive,
    generator_turns,
    iterator_turns,
)
from celery_graceful.execution.loop.pair_columns import Columns, columns_of
from celery_graceful.execution.quarantine import Quarantine, allowance
from celery_graceful.execution.run_task import RunTask
from celery_graceful.sources.skipping import SKIPPED, SkippingSource, close


def iterate(execution: Execution) -> Any:
    """Run an execution's items; returns what a generator returned, ``None`` for classes."""
    execution.work.prepare()
    if execution.task.body is not None:
        return _iterate_generator(execution)
    _iterate_class(execution)
    return None


# -- generator -------------------------------------------------------------------------------


def _iterate_generator(execution: Execution) -> Any:
    task = execution.task
    kwargs = (
        execution.kwargs
        if execution.cursor is None
        else {**execution.kwargs, "cursor": execution.cursor}
    )
    body = task.body
    assert body is not None
    items = body(*execution.args, **kwargs)
    if not hasattr(items, "__next__"):
        raise DefinitionError(
            f"{task.name} has to be a generator that yields cursors; it returned {items!r:.200}"
        )
    stream = _surrounded(items, execution) if _overrides(task, "around_iteration") else items
    # What an iterator of the user's own making returns, no loop can see.
    turns: Turns = generator_turns if hasattr(stream, "send") else iterator_turns
    try:
        return _driven(execution, items, stream, turns)
    finally:
        close(items)


def _surrounded(stream: Iterator[Any], execution: Execution) -> Generator[Any, None, Any]:
    around = execution.informed(execution.task.around_iteration)
    while True:
        failure: Exception | None = None
        with around(None, *execution.args, **execution.kwargs):
            try:
                cursor = next(stream)
            except StopIteration as end:
                return end.value
            except Exception as exc:
                failure = exc
                raise
        if failure is not None:
            raise failure  # swallowed, but a generator that has raised has no more items
        yield cursor


# -- class -----------------------------------------------------------------------------------


def _iterate_class(execution: Execution) -> None:
    task = execution.task
    pairs = task.build_enumerator(*execution.args, cursor=execution.cursor, **execution.kwargs)
    around = (
        execution.informed(task.around_iteration) if _overrides(task, "around_iteration") else None
    )
    each_iteration = execution.informed(task.each_iteration)
    allowed = allowance(task.max_failed_items)
    if allowed is None:
        iterate_pairs(execution, pairs, each_iteration, around)
        return
    quarantine = Quarantine(execution, allowed)
    each = quarantine.guarded(_within(around, each_iteration))
    iterate_pairs(execution, pairs, each, noted=quarantine.noted)
    quarantine.judge_end()


def iterate_pairs(
    execution: Execution,
    pairs: Any,
    each: Callable[..., Any],
    around: Callable[..., AbstractContextManager[Any]] | None = None,
    noted: Callable[[Iterator[Any]], Iterator[Any]] | None = None,
    named: Callable[[Any, Any], Any] = lambda item, cursor: cursor,
) -> None:
    """Call ``each(item, …)`` for (item, cursor) pairs, from the execution's cursor to the end.

    ``noted`` sees the pairs on their way; ``named`` names an item in doubt.
    """
    task = execution.task
    try:
        source = stream = iter(pairs)
    except TypeError as exc:
        raise DefinitionError(
            f"{task.name}.build_enumerator has to return an iterable of (item, cursor) pairs, "
            f"not {pairs!r:.200}"
        ) from exc
    has_markers = isinstance(source, SkippingSource)
    if isinstance(source, SkippingSource):
        stream = source.marked
    if noted is not None:
        stream = noted(stream)
    if task.track_in_doubt:
        stream = _announced(stream, execution.journal.begins, named)
    items = columns_of(stream)
    turns = call_shape(
        each,
        execution.args,
        execution.kwargs,
        around,
        has_markers=has_markers,
        in_columns=isinstance(items, Columns),
    )
    try:
        _driven(execution, source, items, turns)
    except (TypeError, ValueError) as exc:
        if _is_unpacking(exc):
            raise DefinitionError(
                f"{task.name}.build_enumerator has to yield (item, cursor) pairs: {exc}"
            ) from exc
        raise
    finally:
        close(source)


def _announced(
    pairs: Iterator[Any],
    about_to_run: Callable[[Any], None],
    named: Callable[[Any, Any], Any],
) -> Generator[Any, None, None]:
    """Yield (item, cursor) pairs, each after ``about_to_run`` was called with its name."""
    for pair in pairs:
        try:
            item, cursor = pair
        except (TypeError, ValueError):
            yield pair  # the loop raises what is wrong with it
            return
        if item is not SKIPPED:
            about_to_run(named(item, cursor))
        yield pair


def _driven(execution: Execution, source: Any, stream: Any, turns: Turns) -> Any:
    execution.source, before = source, execution.steps
    try:
        return drive(stream, turns, execution, execution.cursor)
    except LimitReached:
        execution.is_limited = True
        return None
    except (Interrupted, TransactionError):
        raise  # from a look, which has seen to it
    except BaseException:
        # While ``source`` still holds its blocks open.
        execution.distrust_open_work(execution.steps - before + 1)
        raise
    finally:
        execution.source = None


def _within(
    around: Callable[..., AbstractContextManager[Any]] | None, each: Callable[..., Any]
) -> Callable[..., Any]:
    """``each`` inside of ``around``, which is to see what it raises."""
    if around is None:
        return each

    def surrounded(item: Any, *args: Any, **kwargs: Any) -> None:
        with around(item, *args, **kwargs):
            each(item, *args, **kwargs)

    return surrounded


def _is_unpacking(exc: BaseException) -> bool:
    """Whether the loop itself raised, on something that is no pair; not the user's code."""
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    inside = trace is not None and trace.tb_frame.f_code.co_filename == LOOP_FILE
    return inside and _UNPACKING.match(str(exc)) is not None


_UNPACKING = re.compile("cannot unpack non-iterable|not enough values|too many values")


def _overrides(task: RunTask, name: str) -> bool:
    return getattr(type(task), name) is not getattr(RunTask, name)
