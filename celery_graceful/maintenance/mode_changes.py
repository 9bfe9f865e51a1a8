"""Reading and changing the mode: compare and set in the store, then tell the workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kombu.exceptions import OperationalError

from celery_graceful._celery.message.mailbox import tell
from celery_graceful.durations import format_seconds
from celery_graceful.errors import (
    CorruptRecord,
    NewerRecord,
    ScopeRefused,
    StoreError,
    StoreUnavailable,
)
from celery_graceful.maintenance.broker_replies import BROKER_TIMEOUT
from celery_graceful.maintenance.workers import known_workers
from celery_graceful.model.maintenance.mode import Mode, first_version, without_ended
from celery_graceful.model.maintenance.mode_text import decode_mode, encode_mode
from celery_graceful.stores.base import NOTICES
from celery_graceful.text.counting import counted
from celery_graceful.text.masking import mask_text

if TYPE_CHECKING:
    from celery_graceful.runtime import Runtime
    from celery_graceful.stores.base import Text

#: The notice that holds the mode, and the control command that brings a change to a worker.
NOTICE, COMMAND = "maintenance", "graceful_maintenance"
#: Bytes: what is held travels to each worker at every change.
MOST_HELD = 32 * 1024
#: Bytes, with the log: fits any database's text.
MOST_KEPT = 60 * 1024
#: More rounds than this mean that something is wrong, not that many compete.
MOST_ROUNDS = 50


@dataclass(frozen=True, slots=True)
class Reading:
    """The mode as the store has it, without what has ended by itself, at the store's time."""

    mode: Mode
    now: float


@dataclass(frozen=True, slots=True)
class Change:
    """The result of a ``down`` or an ``up``."""

    before: Mode
    mode: Mode
    #: The store's time, in Unix seconds.
    now: float
    #: What did not work beside the change itself, in sentences.
    warnings: tuple[str, ...] = ()


def read(runtime: Runtime) -> Reading:
    """The mode in force.

    Raises:
        StoreUnavailable: the store did not answer.
        CorruptRecord: it cannot be read.
    """
    notice = runtime.store.read_text(NOTICES, NOTICE)
    return Reading(without_ended(decode_mode(notice.text, notice.version), notice.now), notice.now)


def change(
    runtime: Runtime,
    changed: Callable[[Mode, float], Mode],
    unreadable: Callable[[float], Mode] | None = None,
) -> Change:
    """Change the mode in the store, and tell the workers.

    Args:
        changed: the mode after the change, from the one before and the store's time.
        unreadable: takes the place of a mode that cannot be read, at the store's time.

    Raises:
        StoreUnavailable: the store did not answer.
        CorruptRecord: the mode cannot be read, and nothing takes its place; nothing was changed.
    """
    for _ in range(MOST_ROUNDS):
        notice = runtime.store.read_text(NOTICES, NOTICE)
        stored = _decoded(notice, unreadable)
        before = without_ended(stored, notice.now)
        after = changed(before, notice.now)
        after = replace(after, was=0) if after != before else after
        text = encode_mode(_with_short_log(after))
        if after == stored and notice.text in ("", text):
            return Change(stored, stored, notice.now)
        try:
            version = None if notice.version else first_version(notice.now)
            posted = runtime.store.write_text(
                NOTICES, NOTICE, text, expected=notice.version, version=version
            )
        except StoreUnavailable as exc:
            raise StoreUnavailable(
                f"{exc}. Whether the change was written is unknown: see `graceful status`"
            ) from exc
        if posted is not None:
            mode = replace(after, version=posted.version)
            return Change(before, mode, posted.now, _tell_known_workers(runtime, mode))
    raise StoreError(
        f"Gave up after {MOST_ROUNDS} conflicting writes of the maintenance mode; nothing was"
        " changed. Is a program calling `down` or `up` without a pause?"
    )


def check_size(mode: Mode) -> Mode:
    """The mode, unless more is held than can be kept.

    Raises:
        ScopeRefused: it is.
    """
    size = _size(encode_mode(mode, log=False))
    if size > MOST_HELD:
        raise ScopeRefused(
            f"{counted(len(mode.holds), 'scope')} and the reasons for holding take {size} bytes; at"
            f" most {MOST_HELD} are kept. Hold everything, or name tasks by a pattern."
        )
    return mode


def tell_workers(runtime: Runtime, mode: Mode, hosts: Sequence[str]) -> None:
    """Send the mode to workers, by node name, over the broker.

    Raises:
        kombu.exceptions.OperationalError: the broker did not take it.
    """
    text = encode_mode(mode, log=False)
    arguments = {"namespace": runtime.namespace, "version": mode.version, "text": text}
    tell(runtime.app, COMMAND, arguments, timeout=BROKER_TIMEOUT, destination=hosts)


def _decoded(notice: Text, unreadable: Callable[[float], Mode] | None) -> Mode:
    try:
        return decode_mode(notice.text, notice.version)
    except NewerRecord:
        raise
    except CorruptRecord:
        if unreadable is None:
            raise
        return replace(unreadable(notice.now), version=notice.version)


def _tell_known_workers(runtime: Runtime, mode: Mode) -> tuple[str, ...]:
    """Notify the workers at once; returns what prevented that, in sentences."""
    warnings = []
    if not runtime.store.shared_between_processes:
        warnings.append(
            f"graceful_store is {runtime.store_address}: workers in other processes learn nothing"
        )
    try:
        # By name, or the workers of other apps would log an unknown command. A worker that is not
        # yet in the list reads the mode before it consumes anything.
        hosts = sorted({worker.hostname for worker in known_workers(runtime.store)})
        if hosts:
            tell_workers(runtime, mode, hosts)
    except (OperationalError, StoreError) as exc:
        poll = format_seconds(runtime.settings.maintenance_poll)
        warnings.append(
            f"It is written, but the workers could not be notified at once:"
            f" {mask_text(str(exc)).rstrip('.')}."
            f" They read it from the store within {poll}"
        )
    return tuple(warnings)


def _with_short_log(mode: Mode) -> Mode:
    """The mode without the oldest entries of its log, if it is too long to be kept."""
    while len(mode.log) > 1 and _size(encode_mode(mode)) > MOST_KEPT:
        mode = replace(mode, log=mode.log[1:])
    return mode


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
