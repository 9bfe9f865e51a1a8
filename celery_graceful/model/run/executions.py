"""The executions of a run: the one under way, and how one becomes a past one.

An execution is written down when it ends, by the transition that ends it. The only execution of a
run that ends at its first is not: all that is known of it is in the record already.
"""

from __future__ import annotations

from celery_graceful.model.run.history import (
    PastExecution,
    executions,
    readable,
    with_execution,
    without_last_execution,
)
from celery_graceful.model.run.record import Record, State, replace


def closed(record: Record, ended: float, reason: str, *, steps: int | None = None) -> Record:
    """The record with its present execution among the past ones; without one, the record itself.

    Args:
        record: as it was while the execution owned the run.
        ended: when it ended, in Unix seconds, as far as that is known.
        reason: why.
        steps: the items done by then since the run began; ``None``: what the record has.
    """
    if record.owner is None:
        return record
    past = _present(record, record.steps if steps is None else steps, ended, reason)
    return replace(record, history=with_execution(record.history, past))


def is_only(record: Record) -> bool:
    """Whether its present execution is its first. If it is the last one too, all but the worker's
    name is in the record anyway.
    """
    return record.resumptions == 0 and not record.history and record.owner is not None


def to_be_continued(record: Record) -> Record:
    """The record of an ended run with its only execution, if it had one, among the past ones."""
    only = executions_of(record)
    if record.history or len(only) != 1:
        return record
    return replace(record, history=with_execution("", only[0]), worker="")


def reopened(record: Record) -> Record:
    """The record whose last execution continues after all."""
    return replace(record, history=without_last_execution(record.history))


def executions_of(record: Record) -> tuple[PastExecution, ...]:
    """All that is known of the executions of a run, the first first, with the one under way."""
    nothing: tuple[PastExecution, ...] = ()
    past = readable(executions, record.history, nothing)
    if record.owner is not None:
        return (*past, _present(record, record.steps, None, None))
    if not past and record.worker and record.state is State.ENDED:
        only = replace(record, owner=record.worker)
        return (_present(only, record.steps, record.end, str(record.outcome)),)
    return past


def _present(record: Record, steps: int, ended: float | None, reason: str | None) -> PastExecution:
    began = record.began or record.started_at
    return PastExecution(
        worker=record.owner,
        began=began,
        # Of the clocks of two hosts, one may be behind.
        ended=None if ended is None else max(began, ended),
        items=max(0, steps - record.execution_steps),
        reason=reason,
        trace=record.trace or None,
        process=record.process or None,
    )
