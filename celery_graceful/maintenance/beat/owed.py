"""What beat owes: how often each entry has still to be sent after ``up``.

It is kept in the store, so that it outlives beat. Each write carries a mark of its own: when the
answer to a write is lost, the mark shows whether the write was, and nothing is counted twice.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping
from typing import NamedTuple

from celery_graceful.errors import CorruptRecord, NewerRecord, StoreError
from celery_graceful.maintenance.beat.mode_cache import BeatBoard
from celery_graceful.stores.base import NOTICES
from celery_graceful.text import strict_json

logger = logging.getLogger("celery_graceful.beat")

NOTICE = "maintenance-beat"
SCHEMA = 1
#: An entry that is owed more often than this was not counted by beat.
MOST_OWED = 10_000_000
#: Rounds until beat yields to another one that writes all the time; the next save continues.
MOST_ROUNDS = 50


class _Attempt(NamedTuple):
    mark: str
    changes: Mapping[str, int]


class _State(NamedTuple):
    """Replaced as a whole, so that a signal's handler never finds half of a change."""

    #: What the store held when it was last read or written.
    saved: Mapping[str, int] = {}
    version: int = 0
    #: Whether it surely still does.
    sure: bool = False
    changes: Mapping[str, int] = {}
    #: A write whose answer has not come.
    attempt: _Attempt | None = None


class OwedEntries:
    """A number for each entry. Changes count at once, and are in the store when saved."""

    def __init__(self, board: BeatBoard) -> None:
        self._board = board
        self._state = _State()
        self._unavailable = False

    def __getitem__(self, name: str) -> int:
        return self.counts().get(name, 0)

    def __bool__(self) -> bool:
        return bool(self.counts())

    def __str__(self) -> str:
        counts = self.counts()
        return ", ".join(f"{name} × {counts[name]}" for name in sorted(counts)) or "nothing"

    @property
    def saved(self) -> bool:
        """Whether the store has been read and holds every change."""
        return self._state.sure and not self._state.changes

    def counts(self) -> dict[str, int]:
        """How often each entry has to be sent, by its name."""
        return _positive(_sum(self._state.saved, self._state.changes))

    def add(self, name: str, number: int) -> None:
        """Count ``number`` more for an entry, or fewer."""
        changes = _sum(self._state.changes, {name: number})
        self._state = self._state._replace(changes=changes)

    def save(self) -> bool:
        """Write what is not in the store yet; whether it holds every change then."""
        try:
            self._save()
        except StoreError as exc:
            if not self._unavailable:
                logger.warning(
                    "What beat owes after maintenance cannot be saved and is lost if beat is killed"
                    " now: %s. %s",
                    self,
                    exc,
                )
            self._unavailable = True
            return False
        if self._unavailable:
            logger.info("What beat owes is in the store again: %s", self)
        self._unavailable = False
        return True

    def _save(self) -> None:
        for _ in range(MOST_ROUNDS):
            if self.saved:
                return
            if self._state.sure:
                self._post()
            else:
                self._read()
        raise StoreError(f"another beat has written {NOTICE} {MOST_ROUNDS} times meanwhile")

    def _read(self) -> None:
        notice = self._board.ask(lambda store: store.read_text(NOTICES, NOTICE))
        saved, mark = self._decoded(notice.text)
        changes, attempt = self._state.changes, self._state.attempt
        if attempt is not None and mark == attempt.mark:  # its answer was lost, the write was not
            changes = _sum(changes, {name: -number for name, number in attempt.changes.items()})
        self._state = _State(saved, notice.version, True, changes)

    def _decoded(self, text: str) -> tuple[Mapping[str, int], str]:
        """What the store holds; what was known last, where that cannot be read."""
        try:
            return decode_owed(text)
        except NewerRecord:
            raise
        except CorruptRecord as exc:
            logger.error("%s. Beat replaces it with what it knows: %s", exc, self)
            return self._state.saved, ""

    def _post(self) -> None:
        before = self._state
        attempt = _Attempt(uuid.uuid4().hex, before.changes)
        wanted = _positive(_sum(before.saved, before.changes))
        text = json.dumps({"schema": SCHEMA, "owed": wanted, "mark": attempt.mark})
        self._state = before._replace(sure=False, attempt=attempt)
        posted = self._board.ask(
            lambda store: store.write_text(NOTICES, NOTICE, text, expected=before.version)
        )
        if posted is not None:  # else another beat has written meanwhile; the next round reads what
            self._state = _State(wanted, posted.version, True)


def decode_owed(text: str) -> tuple[dict[str, int], str]:
    """The numbers that a notice holds, and its mark. An entry whose number is none is left out.

    Raises:
        CorruptRecord: it cannot be read; :exc:`NewerRecord` if a later version wrote it.
    """
    if not text:
        return {}, ""
    try:
        data = strict_json.loads(text)
        if strict_json.whole(data["schema"], "its schema", 1) > SCHEMA:
            raise NewerRecord(
                f"What beat owes was written by a later version (schema {data['schema']}, this one"
                f" knows {SCHEMA}): update this program"
            )
        mark = strict_json.text(data["mark"], "its mark")
        owed = {name: number for name, number in data["owed"].items() if _is_count(name, number)}
    except (ValueError, TypeError, LookupError, AttributeError) as exc:
        raise CorruptRecord(
            f"The notice {NOTICE} in the store, what beat owes, cannot be read: {exc}"
        ) from exc
    return owed, mark


def _is_count(name: str, number: object) -> bool:
    try:
        strict_json.whole(number, "how often", 0, MOST_OWED)
    except ValueError as exc:
        logger.warning("What beat owes for the entry %r cannot be read, left out: %s", name, exc)
        return False
    return True


def _sum(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    total = {name: first.get(name, 0) + second.get(name, 0) for name in {*first, *second}}
    return {name: number for name, number in total.items() if number}


def _positive(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: number for name, number in counts.items() if number > 0}
