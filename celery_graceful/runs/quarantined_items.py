"""Items that a run has quarantined: listing them, and trying them again."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from celery_graceful._celery.message.bodies import on_its_own
from celery_graceful._celery.message.envelope import Envelope, unpack
from celery_graceful._celery.message.headers import STARTED_WITH
from celery_graceful.errors import CorruptRecord, CursorError
from celery_graceful.model.run.cursor import decode
from celery_graceful.model.run.record import RunKey
from celery_graceful.model.run_options import RunOptions, readable_options
from celery_graceful.runtime import Runtime
from celery_graceful.stores.base import Store

#: The header of a replay: the run's id, and the ordinals that are wanted (empty: all).
REPLAY = "graceful_replay"
#: The ordinal under which the run's own message is kept.
ENVELOPE = -1
#: Items beyond so many are not counted.
MOST_COUNTED = 100_000
_AT_ONCE = 100
#: Seconds; Python's calendar has no later moment.
_END_OF_TIME = 200_000_000_000
#: The most items that are remembered as logged.
_MOST_WARNED = 1000

logger = logging.getLogger("celery_graceful.runs")


@dataclass(frozen=True, slots=True)
class QuarantinedItem:
    """One item that failed."""

    #: Names it within its run: how many items came before it.
    ordinal: int
    #: The cursor before it, and its own.
    before: Any
    cursor: Any
    #: The item, its error and the traceback, for people.
    item: str
    error: str
    traceback: str
    #: Unix time, in seconds.
    at: float
    #: The ``cursor_version`` of the two cursors.
    version: int = 1


def found(store: Store, run: RunKey, *, first: int = 0) -> Iterator[QuarantinedItem]:
    """The items that ``run`` has quarantined, in their order, from the ordinal ``first`` on.

    An item that cannot be read is logged once and skipped; it stays in the store.
    """
    while page := store.quarantined(run, first, _AT_ONCE):
        for ordinal, entry in page:
            yield from _readable(run, ordinal, entry)
        first = page[-1][0] + 1


def chosen(store: Store, run: RunKey, ordinals: Collection[int]) -> Iterator[QuarantinedItem]:
    """Those of these items that ``run`` has quarantined, in their order; see :func:`found`."""
    for wanted in sorted(ordinals):
        for ordinal, entry in store.quarantined(run, wanted, 1):
            if ordinal == wanted:
                yield from _readable(run, ordinal, entry)


def count(store: Store, run: RunKey) -> int:
    """How many items ``run`` has quarantined, counted up to :data:`MOST_COUNTED`."""
    return store.count_quarantined(run, 0, MOST_COUNTED)


_warned: set[tuple[RunKey, int]] = set()


def _readable(run: RunKey, ordinal: int, entry: str) -> Iterator[QuarantinedItem]:
    """The item, or nothing where it cannot be read."""
    try:
        yield _read(run, ordinal, entry)
    except CorruptRecord as exc:
        if (run, ordinal) not in _warned and len(_warned) < _MOST_WARNED:
            _warned.add((run, ordinal))
            logger.warning("%s", exc)


def envelope_entry(envelope: bytes) -> str:
    """The entry of the run's own message, from which a replay is made."""
    return json.dumps({"envelope": base64.b64encode(envelope).decode()})


def replaying(runtime: Runtime, run: RunKey, ordinals: Collection[int] = ()) -> Envelope | None:
    """The message of a task that tries again what ``run`` has quarantined.

    Args:
        run: that quarantined the items.
        ordinals: of the items wanted; empty: all.

    Returns:
        The message; ``None`` when nothing is quarantined.

    Raises:
        CorruptRecord: the run's message cannot be read.
    """
    kept = dict(runtime.store.quarantined(run, ENVELOPE, 2))
    if ENVELOPE not in kept or len(kept) < 2:
        return None
    try:
        packed = base64.b64decode(json.loads(kept[ENVELOPE])["envelope"])
    except (ValueError, TypeError, LookupError, RecursionError) as exc:
        raise CorruptRecord(f"the message kept for {run} cannot be read: {exc}") from exc
    own = unpack(packed)
    return on_its_own(
        runtime.app,
        own,
        {REPLAY: [run.id, sorted(ordinals)], **_still_dry(own.headers)},
        without="cursor",  # the items lie elsewhere
    )


def _still_dry(headers: Mapping[str, Any]) -> dict[str, str]:
    """The items of a dry run are tried again without changing anything."""
    text = headers.get(STARTED_WITH)
    dry = isinstance(text, str) and readable_options(text).dry_run
    return {STARTED_WITH: RunOptions(dry_run=True).text()} if dry else {}


def _read(run: RunKey, ordinal: int, entry: str) -> QuarantinedItem:
    try:
        data = json.loads(entry)
        item, error, traceback = data["item"], data["error"], data["traceback"]
        if not all(isinstance(text, str) for text in (item, error, traceback)):
            raise TypeError("item, error or traceback is no text")
        before, own, at = decode(data["before"]), decode(data["cursor"]), _moment(data["at"])
        return QuarantinedItem(
            ordinal, before.cursor, own.cursor, item, error, traceback, at, own.version
        )
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError, CursorError) as e:
        raise CorruptRecord(f"item {ordinal} that {run} quarantined cannot be read: {e}") from e


def _moment(value: Any) -> float:
    moment = float(value)
    if not 0 <= moment < _END_OF_TIME:
        raise ValueError(f"{moment!r} is no time")
    return moment
