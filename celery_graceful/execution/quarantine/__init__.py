"""Items that fail are quarantined with their traceback, and the run continues, up to a limit."""

from __future__ import annotations

import json
import logging
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple

from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded

from celery_graceful._celery.threads.django_databases import close_broken_connections
from celery_graceful.errors import MaxItemErrorsExceeded
from celery_graceful.execution.execution import Execution
from celery_graceful.execution.stopping import limits
from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.sources.skipping import SKIPPED, UNMOVED
from celery_graceful.text.counting import counted

logger = logging.getLogger("celery_graceful.runs")

#: A share is judged as if at least so many items were done: one failure among the first ten
#: means little for ten thousand.
LEAST_JUDGED = 100
#: What an entry keeps of a traceback and of the item, in characters.
MOST_TRACEBACK, MOST_ITEM = 8000, 500


class Allowance(NamedTuple):
    """How many items may fail: a number, or a share of all."""

    number: int | None = None
    share: float | None = None

    def exceeded(self, errors: int, items: int) -> bool:
        """Whether ``errors`` are too many among ``items``."""
        if self.number is not None:
            return errors > self.number
        return errors > (self.share or 0.0) * items


def allowance(option: float | str | None) -> Allowance | None:
    """What ``max_failed_items`` means: ``10``, ``0.01``, ``"1%"``; 0 and ``None``: no quarantine.

    Raises:
        ValueError: it is none of these.
    """
    wrong = ValueError(
        f"max_failed_items = {option!r} is wrong. Expected: a whole number of items, or a share of"
        ' them between 0 and 1. Examples: 10, 0.01, "1%"'
    )
    number: float | str | None = option
    if isinstance(number, str) and number.strip().endswith("%"):
        try:
            number = float(number.strip()[:-1]) / 100
        except ValueError:
            raise wrong from None
    if number is None or number == 0:
        return None
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise wrong
    if isinstance(number, int) and number > 0:
        return Allowance(number=number)
    if 0 < number < 1:
        return Allowance(share=float(number))
    raise wrong


class Quarantine:
    """One execution's dealing with items that fail.

    Args:
        allowed: how many may fail.
    """

    def __init__(self, execution: Execution, allowed: Allowance) -> None:
        self._execution = execution
        self._allowed = allowed
        execution.journal.begin_quarantine()
        self._ordinal = 0
        self._before: Any = None
        self._cursor: Any = None

    def noted(self, pairs: Iterator[Any]) -> Generator[Any, None, None]:
        """Yield pairs, and note which one is under way."""
        self._ordinal, self._cursor = self._execution.steps - 1, self._execution.cursor
        for pair in pairs:
            try:
                item, cursor = pair
            except (TypeError, ValueError):
                yield pair  # the loop raises what is wrong with it
                return
            if item is not SKIPPED:
                self._before, self._cursor = self._cursor, cursor
                self._ordinal += 1
            elif cursor is not UNMOVED:
                self._cursor = cursor
            yield pair

    def guarded(self, each: Callable[..., Any]) -> Callable[..., Any]:
        """``each``, whose failures are quarantined."""

        def guarded_each(item: Any, *args: Any, **kwargs: Any) -> None:
            try:
                with self._execution.work.item_scope():
                    each(item, *args, **kwargs)
            except (Ignore, Reject, Retry, SoftTimeLimitExceeded, *limits.FINAL_ERRORS):
                raise
            except Exception as exc:
                if self._is_retried(exc) or not self._execution.work.stands():
                    raise
                self._quarantined(item, exc)
                close_broken_connections()

        return guarded_each

    def judge_end(self) -> None:
        """All items are done: raise if too many of them were quarantined."""
        self._judge(self._execution.steps, None)

    def _is_retried(self, exc: Exception) -> bool:
        execution = self._execution
        task = execution.task
        if not limits.will_autoretry(task, exc):
            return False
        # Progress gives the retry budget back; without the item, this is what would be kept.
        kept = execution.work.kept
        done = self._ordinal if kept is None else kept.steps
        progress = done > execution.began_at[0]
        spent = 0 if progress else task.request.retries or 0
        return task.max_retries is None or spent < task.max_retries

    def _quarantined(self, item: Any, exc: Exception) -> None:
        execution = self._execution
        execution.journal.quarantine(self._ordinal, self._entry(item, exc))
        execution.errors += 1
        logger.warning(
            "%s[%s]: the item of cursor %.200r has failed and is quarantined (%s in this run): %r",
            execution.task.name,
            execution.id,
            self._cursor,
            counted(execution.errors, "failed item"),
            exc,
            exc_info=exc,
        )
        execution.journal.quarantined(self._cursor, exc)
        self._judge(max(self._ordinal + 1, execution.total or LEAST_JUDGED), exc)

    def _judge(self, items: int, exc: Exception | None) -> None:
        errors = self._execution.errors
        if self._allowed.exceeded(errors, items):
            raise MaxItemErrorsExceeded(
                f"{self._execution.task.name}[{self._execution.id}]: {errors} of"
                f" {counted(self._ordinal + 1, 'item')} failed, more than max_failed_items ="
                f" {self._execution.task.max_failed_items!r} allows. They are quarantined: see"
                " `graceful show ID`, fix the cause, start the task anew after its cursor, and"
                " replay them."
            ) from exc

    def _entry(self, item: Any, exc: Exception) -> str:
        version = self._execution.task.cursor_version
        trace = "".join(traceback.format_exception(type(exc), exc, exc.__traceback__))
        return json.dumps(
            {
                "item": _shown(item),
                "before": encode(Checkpoint(self._before, version=version)),
                "cursor": encode(Checkpoint(self._cursor, version=version)),
                "error": _shown(exc),
                "traceback": trace[-MOST_TRACEBACK:],
                "at": time.time(),
            }
        )


def _shown(value: object) -> str:
    try:
        return repr(value)[:MOST_ITEM]
    except Exception as exc:
        return f"<cannot be shown: {type(exc).__name__}>"
