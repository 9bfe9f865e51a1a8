"""Finding a run in the store by the first characters of its id."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import NamedTuple

from celery_graceful.durations import format_seconds
from celery_graceful.errors import (
    AmbiguousRun,
    CorruptRecord,
    StoreError,
    StoreUnavailable,
    UnknownRun,
)
from celery_graceful.model.run.record import Record, RunKey
from celery_graceful.model.run.verbs import public_state
from celery_graceful.runs.oneoff.once import find_ended, is_key, read_claim
from celery_graceful.runtime import Runtime

#: Runs that are named where an id was shortened too much.
_CANDIDATES = 10
#: The most ids that are read for a prefix.
_MOST_NAMED = 250
#: Brackets at which ``task[id]`` is taken apart.
_MOST_BRACKETS = 8

#: Ids that are read for each prefix when ids are shortened. Where so many begin with it, the id
#: stays whole.
AT_MOST = 50
#: Fewer characters than this are easily mistaken for those of another run.
_LEAST = 8
#: For more runs than this the store is not asked: their ids stay whole.
_MOST_ASKED = 500


class Found(NamedTuple):
    """A run's record, and the store's time when it was read."""

    key: RunKey
    record: Record
    now: float


# -- one run ----------------------------------------------------------------------------------


def find(runtime: Runtime, text: str) -> Found:
    """The run that ``text`` names: a task id, ``task[id]`` as in the logs, or a key of ``once``.

    The id may be shortened to its first characters, as long as no other begins so. An id or key
    that is given in full is that run's, whatever others begin with it.

    Raises:
        UnknownRun: there is none.
        AmbiguousRun: there are several; the message names them.
        StoreUnavailable: the store did not answer.
        CorruptRecord: its record cannot be read.
    """
    found = _readable(runtime, text)
    if not found:
        raise UnknownRun(
            f"no run {text!r} is known to the app {runtime.namespace!r}. Runs are known from the"
            " moment a worker first starts them, or `graceful start` sends them, until"
            f" {format_seconds(runtime.settings.run_retention)} after their end."
        )
    if len(found) > 1:
        raise AmbiguousRun(_ambiguous(text, found))
    return found[0]


def _readable(runtime: Runtime, text: str) -> list[Found]:
    """The same as :func:`_named`; none where the database can keep no such text."""
    try:
        return _named(runtime, text)
    except (StoreUnavailable, CorruptRecord):
        raise
    except StoreError:
        if "\0" in text:  # PostgreSQL refuses it
            return []
        raise


def _named(runtime: Runtime, text: str) -> list[Found]:
    """The runs that ``text`` may mean, up to one more than are named."""
    written_out = _written_out(text)
    found = _load(runtime, written_out)
    if not found and not written_out:
        registered = runtime.app.tasks.items()
        tasks = [name for name, task in registered if hasattr(task, "build_enumerator")]
        found = _load(runtime, [RunKey(name, text) for name in tasks])
    found = found or _of_key(runtime, text)
    if found or not text:
        return found
    keys = [
        key
        for task, run_id in (*written_out, (None, text))
        for key in (runtime.store.named(run_id, _MOST_NAMED) if run_id else ())
        if task in (None, key.task)
    ]
    exact = [key for key in keys if key.id == text or key in written_out]
    return _load(runtime, (exact or keys)[: _CANDIDATES + 1])


def _written_out(text: str) -> list[RunKey]:
    """What ``task[id]`` may mean: names and ids may have brackets of their own."""
    if not text.endswith("]"):
        return []
    brackets = [at for at, char in enumerate(text) if char == "["]
    return [RunKey(text[:at], text[at + 1 : -1]) for at in brackets[:_MOST_BRACKETS]]


def _of_key(runtime: Runtime, text: str) -> list[Found]:
    """The run that was started once under the key ``text``, if it is one."""
    if not is_key(text):
        return []
    claim = read_claim(runtime.store, text)
    if claim is None:
        return []
    return _load(runtime, [claim.run]) or list(map(Found._make, find_ended(claim, text)))


def _load(runtime: Runtime, keys: list[RunKey]) -> list[Found]:
    loaded = [(key, runtime.store.load(key)) for key in keys]
    return [Found(key, at.record, at.now) for key, at in loaded if at.record is not None]


def _ambiguous(text: str, found: list[Found]) -> str:
    shown = "\n".join(f"{each.key} ({public_state(each.record)})" for each in found[:_CANDIDATES])
    number = f"more than {_CANDIDATES}" if len(found) > _CANDIDATES else str(len(found))
    more = "\n…" if len(found) > _CANDIDATES else ""
    return f"{text!r} fits {number} runs; write more of the id, or one of these:\n{shown}{more}"


# -- ids by their first characters -----------------------------------------------------------


def shortened(ids: Sequence[str], named: Callable[[str], Sequence[str]]) -> list[str]:
    """The ids by prefixes, each of which no other id of the store begins with.

    Args:
        ids: of the runs that are shown.
        named: up to :data:`AT_MOST` ids of the store that begin with a prefix. One that two tasks
            have is there twice, and stays whole.
    """
    if len(ids) > _MOST_ASKED:
        return list(ids)
    return [_prefix(one, named(one[:_LEAST])) for one in ids]


def _prefix(one: str, similar: Sequence[str]) -> str:
    if len(similar) >= AT_MOST or similar.count(one) > 1:
        return one
    common = max((_common(one, other) for other in similar if other != one), default=0)
    return one[: max(_LEAST, common + 1)]


def _common(one: str, other: str) -> int:
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
