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
        styles.iterate_pairs(self._leg, self._pairs(), self._each)
        carry = self._leg.carry
        return {
            "run": self._run.id,
            "replayed": carry.get("replayed", 0),
            "failed": carry.get("failed", 0),
        }

    def _pairs(self) -> Generator[tuple[PutAside, int], None, None]:
        last = self._leg.cursor
        for entry in found(self._store, self._run):
            wanted = not self._wanted or entry.ordinal in self._wanted
            if wanted and (last is None or entry.ordinal > last):
                yield entry, entry.ordinal

    def _each(self, entry: PutAside, *args: Any, **kwargs: Any) -> None:
        try:
            item = self._item(entry)
            with self._leg.task.around_iteration(item, *args, **kwargs):
                self._leg.task.each_iteration(item, *args, **kwargs)
        except (Ignore, Reject, Retry, SoftTimeLimitExceeded):
            raise
        except Exception as exc:
            self._count("failed")
            logger.warning(
                "%s: the item of cursor %.200r has failed again and stays aside: %r",
                self._run,
                entry.cursor,
                exc,
                exc_info=exc,
            )
        else:
            self._store.drop_aside(self._run, [entry.ordinal])
            self._count("replayed")

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

    def _count(self, what: str) -> None:
        self._leg.carry[what] = self._leg.carry.get(what, 0) + 1
