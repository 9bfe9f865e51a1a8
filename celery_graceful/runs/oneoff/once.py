"""Keys of runs that complete once: which run has one.

A key is a named text in the store, written by compare-and-set. It names a run. What became of that
is in the run's own record, and once that is forgotten, in the text.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from kombu.utils import json as kombu_json

from celery_graceful.errors import CorruptRecord, StoreError, StoreUnavailable
from celery_graceful.model.run.record import Outcome, Record, RunKey, State
from celery_graceful.model.run_options import RunOptions, readable_options
from celery_graceful.stores.base import Store
from celery_graceful.text import strict_json

logger = logging.getLogger("celery_graceful.runs")

#: The kind of the texts.
KIND = "once"
_MOST = 16 * 1024
#: What a key may be: it is typed in shells, and shown in one line.
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+=-]*")
MOST_KEY = 100


@dataclass(frozen=True, slots=True)
class Claim:
    """The run that has a key."""

    run: RunKey
    #: Shows whether it was started with the same arguments.
    digest: str
    #: The items done when it completed; ``None``: it has not.
    completed: int | None = None
    version: int = 0
    #: When this was written, and the store's present time.
    at: float = 0.0
    now: float = 0.0


def is_key(text: str) -> bool:
    """Whether a text can be a key of ``once``."""
    return len(text) <= MOST_KEY and _KEY.fullmatch(text) is not None


def check_key(key: str) -> None:
    """Raise :exc:`ValueError` for what cannot be a key of ``once``."""
    if not isinstance(key, str) or not is_key(key):
        raise ValueError(
            f"once: {key!r:.150} cannot be a key. It has 1 to {MOST_KEY} letters, digits and"
            " characters of . _ : / @ + = -, and begins with a letter or digit."
            " Example: backfill-2026-11"
        )


def read_claim(store: Store, key: str) -> Claim | None:
    """The run that has a key, ``None``: none has it.

    Raises:
        CorruptRecord: what is written there cannot be read.
        StoreUnavailable: the store did not answer.
    """
    found = store.read_text(KIND, key)
    if not found.version:
        return None
    try:
        data = strict_json.loads(found.text, _MOST)
        run = RunKey(strict_json.text(data["task"], "task"), strict_json.text(data["id"], "id"))
        digest, completed = strict_json.text(data["digest"], "digest"), data.get("completed")
        if completed is not None:
            strict_json.whole(completed, "completed")
        return Claim(run, digest, completed, found.version, found.written_at, found.now)
    except (ValueError, TypeError, LookupError, AttributeError) as exc:
        raise CorruptRecord(f"the run of the key {key!r} cannot be read: {exc}") from exc


def write_claim(store: Store, key: str, claim: Claim, *, keep: float | None = None) -> bool:
    """Give a key to a run, in place of the claim of this version (0: of none).

    Returns:
        Whether it has it: another start may have been quicker.
    """
    data: dict[str, Any] = {"task": claim.run.task, "id": claim.run.id, "digest": claim.digest}
    if claim.completed is not None:
        data["completed"] = claim.completed
    written = store.write_text(KIND, key, json.dumps(data), expected=claim.version, keep=keep)
    return written is not None


def note_end(
    store: Store, run: RunKey, record: Record, outcome: Outcome, steps: int | None
) -> None:
    """The run is about to end: whether its key has completed is known for longer than the run.

    Before the record says so: as long as the record is there, it is what counts.

    Raises:
        StoreUnavailable: the store did not answer.
    """
    options = readable_options(record.options)
    if not options.once:
        return
    try:
        claim = read_claim(store, options.once)
        if claim is None or claim.run != run:  # forgotten, or another run has the key meanwhile
            return
        done = record.steps if steps is None else steps
        now = replace(claim, completed=done if outcome is Outcome.COMPLETED else None)
        write_claim(store, options.once, now, keep=options.keep or None)
    except StoreUnavailable:
        raise
    except StoreError as exc:  # the run has ended all the same
        logger.error(
            "%s: that its key %r is %s is known for as long as the run only: %s",
            run,
            options.once,
            outcome,
            exc,
        )


def find_ended(claim: Claim, key: str) -> Iterator[tuple[RunKey, Record, float]]:
    """What is known of a run that has completed, and whose record was forgotten since."""
    if claim.completed is None:
        return
    ended = Record(
        State.ENDED,
        outcome=Outcome.COMPLETED,
        steps=claim.completed,
        options=RunOptions(once=key).text(),
        ended_at=claim.at,
    )
    yield claim.run, ended, claim.now


def digest_of(args: Any, kwargs: Any) -> str:
    """Shows whether arguments are the same ones."""
    try:
        text = kombu_json.dumps([list(args), sorted(kwargs.items())])
    except (TypeError, ValueError):  # for another serializer
        text = repr((args, sorted(kwargs.items())))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
