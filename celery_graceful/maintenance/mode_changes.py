"""Changing the maintenance mode: compare and set in the store, then tell the workers."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable, Collection, Sequence
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
from celery_graceful.model.maintenance.mode import (
    LogEntry,
    Mode,
    Scope,
    first_version,
    hold_scopes,
    release_scopes,
    without_ended,
)
from celery_graceful.model.maintenance.mode_text import decode_mode, encode_mode
from celery_graceful.text.counting import counted
from celery_graceful.text.masking import mask_text
from celery_graceful.text.printable import printable

if TYPE_CHECKING:
    from celery_graceful.runtime import Runtime

#: The notice that holds the mode, and the control command that tells of a change.
NOTICE, COMMAND = "maintenance", "graceful_maintenance"
#: Bytes: what is held travels to each worker at every change.
MOST_HELD = 32 * 1024
#: More rounds than this mean that something is wrong, not that many compete.
MOST_ROUNDS = 50
#: Bytes, with the log: fits any database's text.
MOST_KEPT = 60 * 1024


@dataclass(frozen=True, slots=True)
class Reading:
    """The mode as the store has it, without what has ended by itself, at the store's time."""

    mode: Mode
    now: float


@dataclass(frozen=True, slots=True)
class Change:
    """What came of a ``down`` or an ``up``."""

    before: Mode
    mode: Mode
    #: The store's time, in Unix seconds.
    now: float
    #: What did not work beside the change itself, in sentences.
    warnings: tuple[str, ...] = ()


def me() -> str:
    """The user and host of this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user without a name
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"{user}@{socket.gethostname()}"


def read(runtime: Runtime) -> Reading:
    """The mode in force.

    Raises:
        StoreUnavailable: the store did not answer.
        CorruptRecord: it cannot be read.
    """
    notice = runtime.store.read_notice(NOTICE)
    return Reading(without_ended(decode_mode(notice.text, notice.version), notice.now), notice.now)


def down(
    runtime: Runtime,
    scopes: Collection[Scope],
    *,
    reason: str = "",
    who: str | None = None,
    seconds: float | None = None,
    interrupt: bool = True,
) -> Change:
    """Hold these scopes from now on; what is held already gets these terms.

    Args:
        seconds: after how long it ends by itself; ``None``: never.
        interrupt: whether iterable tasks under way leave at their next checkpoint.

    Raises:
        ScopeRefused: more would be held than can be kept.
        StoreUnavailable: the store did not answer.
        CorruptRecord: what is held now cannot be read; nothing was changed.
    """

    def lowered(mode: Mode, now: float) -> Mode:
        until = None if seconds is None else now + seconds
        after = hold_scopes(
            mode,
            scopes,
            now=now,
            who=printable(who or me()),
            reason=printable(reason),  # what is stored is shown to everybody
            until=until,
            interrupt=interrupt,
        )
        _check_size(after)
        return after

    return _change(runtime, lowered, _readable)


def up(
    runtime: Runtime, scopes: Collection[Scope] = (), *, ramp: float = 0.0, who: str | None = None
) -> Change:
    """Hold these scopes no longer; none: nothing at all. A mode that nobody can read goes too.

    Args:
        ramp: seconds over which work is taken up again.

    Raises:
        ScopeNotDown: one of the scopes is not down by itself.
        StoreUnavailable: the store did not answer.
        CorruptRecord: scopes were named, and what is held cannot be read; nothing was changed.
    """
    doer = printable(who or me())

    def lifted(mode: Mode, now: float) -> Mode:
        return release_scopes(mode, scopes, now=now, who=doer, ramp=ramp)

    def anew(text: str, version: int, now: float) -> Mode:
        try:
            return decode_mode(text, version)
        except NewerRecord:
            raise
        except CorruptRecord:
            if scopes:
                raise
            # Down by nobody knows what: so that it is lifted, and its parked messages come back.
            unknown = LogEntry(now, doer, "up", (), "replaced a mode that could not be read")
            return Mode(log=(unknown,), parked=True, version=version)

    return _change(runtime, lifted, anew)


def _readable(text: str, version: int, now: float) -> Mode:
    return decode_mode(text, version)


def _change(
    runtime: Runtime,
    changed: Callable[[Mode, float], Mode],
    decoded: Callable[[str, int, float], Mode],
) -> Change:
    for _ in range(MOST_ROUNDS):
        notice = runtime.store.read_notice(NOTICE)
        stored = decoded(notice.text, notice.version, notice.now)
        before = without_ended(stored, notice.now)
        after = changed(before, notice.now)
        after = replace(after, was=0) if after != before else after
        text = encode_mode(_shortened(after))
        if after == stored and notice.text in ("", text):
            return Change(stored, stored, notice.now)
        try:
            version = None if notice.version else first_version(notice.now)
            posted = runtime.store.post_notice(NOTICE, notice.version, text, version=version)
        except StoreUnavailable as exc:
            raise StoreUnavailable(
                f"{exc}. Whether the change was written is not known: see `graceful status`"
            ) from exc
        if posted is not None:
            mode = replace(after, version=posted.version)
            return Change(before, mode, posted.now, _told(runtime, mode))
    raise StoreError(
        f"Gave up after {MOST_ROUNDS} conflicting writes of the maintenance mode; nothing was"
        " changed. Is a program calling `down` or `up` without a pause?"
    )


def _told(runtime: Runtime, mode: Mode) -> tuple[str, ...]:
    """Tell the workers at once; what kept that from happening."""
    warnings = []
    if not runtime.store.shared_between_processes:
        warnings.append(
            f"graceful_store is {runtime.store_address}: workers in other processes learn nothing"
        )
    poll = format_seconds(runtime.settings.maintenance_poll)
    try:
        # By name, or the workers of other apps would log a command that they do not know. Whoever
        # is not yet in the list reads the mode before it consumes anything.
        hosts = sorted({member.hostname for member in known_workers(runtime.store)})
        if hosts:
            tell_workers(runtime, mode, hosts)
    except (OperationalError, StoreError) as exc:
        warnings.append(
            f"It is written, but the workers could not be told at once:"
            f" {mask_text(str(exc)).rstrip('.')}."
            f" They look for themselves, within {poll}"
        )
    return tuple(warnings)


def tell_workers(runtime: Runtime, mode: Mode, hosts: Sequence[str]) -> None:
    """Tell workers of a mode over the broker.

    Args:
        hosts: their node names.

    Raises:
        kombu.exceptions.OperationalError: the broker did not take it.
    """
    text = encode_mode(mode, log=False)
    arguments = {"namespace": runtime.namespace, "version": mode.version, "text": text}
    tell(runtime.app, COMMAND, arguments, timeout=BROKER_TIMEOUT, destination=hosts)


def _check_size(mode: Mode) -> None:
    size = len(encode_mode(mode, log=False).encode("utf-8", "surrogatepass"))
    if size > MOST_HELD:
        raise ScopeRefused(
            f"{counted(len(mode.holds), 'scope')} and the reasons for holding take {size} bytes; at"
            f" most {MOST_HELD} are kept. Hold everything, or name tasks by a pattern."
        )


def _shortened(mode: Mode) -> Mode:
    """The mode without the oldest lines of its log, if those are too long to be kept."""
    while len(mode.log) > 1 and len(encode_mode(mode).encode("utf-8", "surrogatepass")) > MOST_KEPT:
        mode = replace(mode, log=mode.log[1:])
    return mode
