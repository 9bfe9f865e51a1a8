"""A task that tries again what another run has quarantined."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from typing import Any

from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded

from celery_graceful.errors import GracefulError
from celery_graceful.execution.execution import Execution
from celery_graceful.execution.journal.code_changes import migrated
from celery_graceful.execution.loop import styles
from celery_graceful.execution.owned import OwnedRun
from celery_graceful.model.run.cursor import Checkpoint
from celery_graceful.model.run.record import RunKey
from celery_graceful.runs.quarantined_items import REPLAY, QuarantinedItem, chosen, found
from celery_graceful.sources.skipping import close
from celery_graceful.stores.base import Store

logger = logging.getLogger("celery_graceful.runs")

#: In the carry: ranges of items that have failed again, and how many these are.
_FAILED, _FAILURES = "graceful_failed", "graceful_failures"


def replay_of(run: OwnedRun) -> Replay | None:
    """What ``run`` replays, if its message asks for that."""
    asked = run.request.get(REPLAY)
    if not asked:
        return None
    run_id, ordinals = asked
    other = RunKey(run.key.task, run_id)
    return Replay(run.execution, other, run.ticket.runtime.store, frozenset(ordinals))


class Replay:
    """Items of another run, tried again one by one; those that succeed are forgotten there.

    Each is fetched from the enumerator anew, from the cursor before it.
    """

    def __init__(
        self, execution: Execution, run: RunKey, store: Store, wanted: frozenset[int]
    ) -> None:
        self._execution = execution
        self._run = run
        self._store = store
        self._wanted = wanted
        #: The item tried before the one under way.
        self._before: int | None = None

    def run(self) -> dict[str, Any]:
        """Try them; returns how many were ``replayed``, and how many have ``failed`` again."""
        styles.iterate_pairs(
            self._execution, self._pairs(), self._each, named=lambda entry, ordinal: entry.cursor
        )
        failed = self._execution.carry.get(_FAILURES, 0)
        return {"run": self._run.id, "replayed": self._execution.steps - failed, "failed": failed}

    def forget_done(self) -> None:
        """Take those that succeeded off the list; called when what they did is saved for good."""
        last = self._execution.cursor
        if last is None:
            return
        if self._wanted:
            done = [n for n in self._wanted if n <= last and not _within(n, self._failed)]
            self._store.drop_quarantined(self._run, done)
            return
        first = 0
        for begin, end in self._failed:
            if first < begin:
                self._store.drop_quarantined_range(self._run, first, begin - 1)
            first = end + 1
        if first <= last:
            self._store.drop_quarantined_range(self._run, first, last)

    @property
    def _failed(self) -> list[list[int]]:
        """Ranges of ordinals: all items tried within one have failed again, however many."""
        failed: list[list[int]] = self._execution.carry.setdefault(_FAILED, [])
        return failed

    def _note_failed(self, ordinal: int) -> None:
        failed = self._failed
        if failed and failed[-1][1] == self._before:
            failed[-1][1] = ordinal
        else:
            failed.append([ordinal, ordinal])
        self._execution.carry[_FAILURES] = self._execution.carry.get(_FAILURES, 0) + 1

    def _entries(self) -> Iterator[QuarantinedItem]:
        if self._wanted:
            return chosen(self._store, self._run, self._wanted)
        return found(self._store, self._run, first=(self._execution.cursor or -1) + 1)

    def _pairs(self) -> Generator[tuple[QuarantinedItem, int], None, None]:
        last = self._execution.cursor
        for entry in self._entries():
            if last is None or entry.ordinal > last:
                yield entry, entry.ordinal
                self._before = entry.ordinal

    def _each(self, entry: QuarantinedItem, *args: Any, **kwargs: Any) -> None:
        try:
            item = self._item(entry)
            task = self._execution.task
            informed = self._execution.informed
            around = informed(task.around_iteration)(item, *args, **kwargs)
            with self._execution.work.item_scope(), around:
                informed(task.each_iteration)(item, *args, **kwargs)
        except (Ignore, Reject, Retry, SoftTimeLimitExceeded):
            raise
        except Exception as exc:
            self._note_failed(entry.ordinal)
            logger.warning(
                "%s: the item of cursor %.200r has failed again and stays quarantined: %r",
                self._run,
                entry.cursor,
                exc,
                exc_info=exc,
            )

    def _item(self, entry: QuarantinedItem) -> Any:
        execution = self._execution
        before, own = (self._migrated(each, entry.version) for each in (entry.before, entry.cursor))
        pairs = iter(
            execution.task.build_enumerator(*execution.args, cursor=before, **execution.kwargs)
        )
        try:
            item, cursor = next(pairs, (None, None))
        finally:
            close(pairs)
        if cursor != own:
            raise GracefulError(
                f"the enumerator does not yield the item of cursor {own!r:.200} after"
                f" {before!r:.200} any more, but one of cursor {cursor!r:.200}"
            )
        return item

    def _migrated(self, cursor: Any, version: int) -> Any:
        """The cursor, in the version of the task's code now."""
        return migrated(self._execution.task, Checkpoint(cursor, version=version)).cursor


def _within(ordinal: int, ranges: list[list[int]]) -> bool:
    return any(begin <= ordinal <= end for begin, end in ranges)
