"""What beat owes: how often each entry has still to be sent after ``up``.

It stands on the board, so that it outlives beat. Each write carries a mark of its own: when the
answer to a write is lost, the mark tells whether the write was, and nothing is counted twice.
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
#: Turns until a beat gives way to another one that writes all the time; the next save goes on.
MOST_TURNS = 50


class _Attempt(NamedTuple):
    mark: str
    changes: Mapping[str, int]


class _State(NamedTuple):
    """Replaced as a whole, so that a signal's handler never finds half of a change."""

    #: What the board held when it was last read or written.
    saved: Mapping[str, int] = {}
    version: int = 0
    #: Whether it surely still does.
    sure: bool = False
    changes: Mapping[str, int] = {}
    #: A write whose answer has not come.
    attempt: _Attempt | None = None


class OwedEntries:
    """A number for each entry. Changes count at once, and are on the board when saved."""

    def __init__(self, board: BeatBoard) -> None:
        self._board = board
        self._state = _State()
        self._away = False

    def __getitem__(self, name: str) -> int:
        return self.counts().get(name, 0)

    def __bool__(self) -> bool:
        return bool(self.counts())

    @property
    def saved(self) -> bool:
        """Whether the board has been read and holds every change."""
        return self._state.sure and not self._state.changes

    def counts(self) -> dict[str, int]:
        """How often each entry has to be sent, by its name."""
        return _positive(_sum(self._state.saved, self._state.changes))

    def add(self, name: str, number: int) -> None:
        """Count ``number`` more for an entry, or fewer."""
        changes = _sum(self._state.changes, {name: number})
        self._state = self._state._replace(changes=changes)

    def save(self) -> bool:
        """Write what is not on the board yet.

        Returns:
            Whether the board holds every change; not so while the store is away.
        """
        try:
            for _ in range(MOST_TURNS):
                if self.saved:
                    break
                if self._state.sure:
                    self._post()
                else:
                    self._read()
            else:
                raise StoreError(f"another beat has written {NOTICE} {MOST_TURNS} times meanwhile")
        except StoreError as exc:
            self._say_away(exc)
            return False
        if self._away:
            logger.info("What beat owes is in the store again: %s", self)
        self._away = False
        return True

    def __str__(self) -> str:
        counts = self.counts()
        return ", ".join(f"{name} × {counts[name]}" for name in sorted(counts)) or "nothing"

    def _read(self) -> None:
        notice = self._board.ask(lambda board: board.read_text(NOTICES, NOTICE))
        saved, mark = self._decoded(notice.text)
        changes, attempt = self._state.changes, self._state.attempt
        if attempt is not None and mark == attempt.mark:  # its answer was lost, the write was not
            changes = _without(changes, attempt.changes)
        self._state = _State(saved, notice.version, True, changes)

    def _decoded(self, text: str) -> tuple[Mapping[str, int], str]:
        """What the board holds; what was known last, where that cannot be read."""
        try:
            return decode_owed(text)
        except NewerRecord:
            raise
        except CorruptRecord as exc:
            logger.error("%s. Beat replaces it by what it knows: %s", exc, self)
            return self._state.saved, ""

    def _post(self) -> None:
        before = self._state
        attempt = _Attempt(uuid.uuid4().hex, before.changes)
        wanted = _positive(_sum(before.saved, before.changes))
        text = json.dumps({"schema": SCHEMA, "owed": wanted, "mark": attempt.mark})
        self._state = before._replace(sure=False, attempt=attempt)
        posted = self._board.ask(
            lambda board: board.write_text(NOTICES, NOTICE, text, expected=before.version)
        )
        if posted is not None:  # else another beat has written meanwhile; the next turn reads what
            self._state = _State(wanted, posted.version, True)

    def _say_away(self, exc: StoreError) -> None:
        if not self._away:
            self._away = True
            logger.warning(
                "What beat owes after maintenance cannot be saved and is lost if beat is killed"
                " now: %s. %s",
                self,
                exc,
            )


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
        return {
            name: number for name, number in data["owed"].items() if _counts(name, number)
        }, mark
    except (ValueError, TypeError, LookupError, AttributeError) as exc:
        raise CorruptRecord(
            f"The notice {NOTICE} in the store, what beat owes, cannot be read: {exc}"
        ) from exc


def _counts(name: str, number: object) -> bool:
    try:
        strict_json.whole(number, "how often", 0, MOST_OWED)
    except ValueError as exc:
        logger.warning("What beat owes for the entry %r cannot be read, left out: %s", name, exc)
        return False
    return True


def _sum(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    total = {name: first.get(name, 0) + second.get(name, 0) for name in {*first, *second}}
    return {name: number for name, number in total.items() if number}


def _without(changes: Mapping[str, int], done: Mapping[str, int]) -> dict[str, int]:
    return _sum(changes, {name: -number for name, number in done.items()})


def _positive(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: number for name, number in counts.items() if number > 0}
