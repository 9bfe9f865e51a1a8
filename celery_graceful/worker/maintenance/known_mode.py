"""The maintenance mode as one worker knows it: from the store, from broadcasts, or the last one."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import NamedTuple

from celery_graceful._celery.threads.native import native_lock
from celery_graceful.errors import CorruptRecord, NewerRecord
from celery_graceful.maintenance.mode_changes import NOTICE
from celery_graceful.model.maintenance.mode import (
    EVERYTHING,
    Hold,
    Mode,
    is_older,
    version_back,
    written_back,
)
from celery_graceful.model.maintenance.mode_text import decode_mode, encode_mode
from celery_graceful.stores.base import NOTICES, Store, Text

logger = logging.getLogger("celery_graceful.maintenance")


class KnownMode(NamedTuple):
    """What a worker knows of the mode; replaced as a whole."""

    #: Without what has ended by itself; version -1: it could not be read yet.
    mode: Mode
    #: The store did not answer for a whole lease, and the worker pauses for that.
    cut_off: bool = False
    #: No run can start, since the store cannot be used.
    runs_wait: bool = True


class ModeMemory:
    """Keeps the newest mode, and the last that could be read.

    Args:
        name: names the worker.
        pauses: whether the worker pauses while the mode cannot be read.
    """

    def __init__(self, name: str, *, pauses: bool) -> None:
        self._name = name
        self._pauses = pauses
        #: Two threads may learn of two modes at once; the older one must not win.
        self.lock = native_lock()
        #: As read; what has ended by itself is still in it.
        self.mode = Mode(version=-1)
        self._last_good = self.mode
        #: The version that could not be read, as it was logged.
        self._unreadable: int | None = None

    def learn(self, mode: Mode) -> None:
        """A broadcast has brought a mode; an old one changes nothing."""
        with self.lock:
            if mode.version > self.mode.version:
                self.mode = self._last_good = mode

    def take(self, notice: Text, before: int, store: Store) -> bool:
        """The store has another version than ``before``; a mode that vanished is written back.

        Returns:
            Whether the store has to be read again: another worker was quicker.
        """
        found, known = self._read(notice), self._last_good
        vanished = self._unreadable is None and known.version > 0 and is_older(found, known)
        mode = self._write_back(store, found, notice.now) if vanished else found
        with self.lock:
            # A broadcast may have been quicker.
            if mode is not None and self.mode.version == before:
                self.mode = mode
        if self._unreadable is None:
            self._last_good = self.mode
        return mode is None

    def _read(self, notice: Text) -> Mode:
        """The mode in the store; the last that could be read, if that one cannot.

        Its version is the one that it had: a ``down`` that this worker cannot read is not
        acknowledged.
        """
        try:
            mode = decode_mode(notice.text, notice.version)
        except CorruptRecord as exc:
            last = self.mode
            holds = self._pauses and (last.version < 0 or isinstance(exc, NewerRecord))
            if self._unreadable != notice.version:
                self._unreadable = notice.version
                logger.error("%s: %s", "Everything is held" if holds else self, exc)
            return _hold_everything(str(exc), notice.version) if holds else last
        self._unreadable = None
        return mode

    def _write_back(self, store: Store, found: Mode, now: float) -> Mode | None:
        """The mode that is in force then; ``None`` when another worker was quicker."""
        known = self._last_good
        version = version_back(known, found.version, now)
        text = encode_mode(written_back(known, now, self._name))
        written = store.write_text(NOTICES, NOTICE, text, expected=found.version, version=version)
        if written is None:
            return None
        logger.warning(
            "The maintenance mode had vanished from the store, or had gone back from version %d to"
            " %d (FLUSHALL, an eviction, a restart without persistence, a deleted key or row). The"
            " last known mode stays in force and is written back as version %d. Held: %s",
            known.version,
            found.version,
            version,
            known,
        )
        return decode_mode(text, version)

    def __str__(self) -> str:
        if self.mode.version < 0:
            return "No maintenance mode is known"
        return f"The maintenance mode last known stays in force (held: {self.mode})"


def _hold_everything(why: str, version: int) -> Mode:
    """Until it is known what is to be held, nothing starts."""
    hold = Hold(EVERYTHING, why, "unknown", 0.0, interrupt=False)
    return replace(Mode(version=version), holds=(hold,))
