"""A task that tries again what another run has put aside."""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import Any

from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded

from celery_graceful.errors import GracefulError
from celery_graceful.model.record import RunKey
from celery_graceful.runs.aside import REPLAY, PutAside, found
from celery_graceful.stores.base import Store
from celery_graceful.tasks import styles
from celery_graceful.tasks.carried import CarriedLeg

__all__ = ["Replay", "replay_of"]

logger = logging.getLogger("celery_graceful.runs")


def replay_of(leg: CarriedLeg) -> Replay | None:
    """What ``leg`` replays, if its message asks for that."""
    asked = leg.request.get(REPLAY)
    if not asked:
        return None
    run_id, ordinals = asked
    run = RunKey(leg.ticket.run.task, run_id)
    return Replay(leg, run, leg.ticket.runtime.store, frozenset(ordinals))


class Replay:
    """Items of another run, tried again one by one; those that succeed are forgotten there.

    Each is fetched from the enumerator anew, from the cursor before it.
    """

    def __init__(self, leg: CarriedLeg, run: RunKey, store: Store, wanted: frozenset[int]) -> None:
        self._leg = leg
        self._run = run
        self._store = store
        self._wanted = wanted

    def run(self) -> dict[str, Any]:
        """Try them; returns how many were ``replayed``, and how many have ``failed`` again."""
        styles.iterate_pairs(
            self._leg, self._pairs(), self._each, named=lambda entry, ordinal: entry.cursor
        )
        failed = len(self._failed)
        return {"run": self._run.id, "replayed": self._leg.steps - failed, "failed": failed}

    def forget_done(self) -> None:
        """Take those that succeeded off the list; called when what they did is saved for good."""
        last = self._leg.cursor
        failed = set(self._failed)
        done = [
            entry.ordinal
            for entry in found(self._store, self._run)
            if self._is_wanted(entry) and entry.ordinal not in failed
            if last is not None and entry.ordinal <= last
        ]
        self._store.drop_aside(self._run, done)

    @property
    def _failed(self) -> list[int]:
        failed: list[int] = self._leg.carry.setdefault("graceful_failed", [])
        return failed

    def _is_wanted(self, entry: PutAside) -> bool:
        return not self._wanted or entry.ordinal in self._wanted

    def _pairs(self) -> Generator[tuple[PutAside, int], None, None]:
        last = self._leg.cursor
        for entry in found(self._store, self._run):
            if self._is_wanted(entry) and (last is None or entry.ordinal > last):
                yield entry, entry.ordinal

    def _each(self, entry: PutAside, *args: Any, **kwargs: Any) -> None:
        try:
            item = self._item(entry)
            task = self._leg.task
            with self._leg.item_scope(), task.around_iteration(item, *args, **kwargs):
                task.each_iteration(item, *args, **kwargs)
        except (Ignore, Reject, Retry, SoftTimeLimitExceeded):
            raise
        except Exception as exc:
            self._failed.append(entry.ordinal)
            logger.warning(
                "%s: the item of cursor %.200r has failed again and stays aside: %r",
                self._run,
                entry.cursor,
                exc,
                exc_info=exc,
            )

    def _item(self, entry: PutAside) -> Any:
        leg = self._leg
        pairs = iter(leg.task.build_enumerator(*leg.args, cursor=entry.before, **leg.kwargs))
        try:
            item, cursor = next(pairs, (None, None))
        finally:
            styles.close(pairs)
        if cursor != entry.cursor:
            raise GracefulError(
                f"the enumerator does not yield the item of cursor {entry.cursor!r:.200} after"
                f" {entry.before!r:.200} any more, but one of cursor {cursor!r:.200}"
            )
        return item
