"""Parts of the sentences: what others wrote, moments, commands."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from celery_graceful.model.maintenance.mode import Hold
from celery_graceful.text.masking import mask_text
from celery_graceful.text.printable import printable

if TYPE_CHECKING:
    from celery_graceful.runs.plain_run import Run
    from celery_graceful.views.waiting.situation import Situation


#: Characters of a text of others, and names of a list, that a sentence shows.
_MOST, _MOST_NAMES = 200, 3
#: Seconds of a day, and the last moment that a calendar has.
_DAY, _LAST = 86400.0, 253402300799.0


def shown(text: str, most: int = _MOST) -> str:
    """What somebody else wrote, on one line, without secrets, and not too long."""
    cut = mask_text(text[: 4 * most])
    return printable(cut if len(cut) <= most and len(text) <= 4 * most else f"{cut[: most - 1]}…")


def names(given: Iterable[str]) -> str:
    """``"a"``, ``"a and b"``, ``"a, b, c and 4 more"``."""
    known = [shown(name, 100) for name in dict.fromkeys(given)]
    more = len(known) - _MOST_NAMES
    if more > 0:
        return f"{', '.join(known[:_MOST_NAMES])} and {more} more"
    return " and ".join(filter(None, (", ".join(known[:-1]), *known[-1:])))


def moment(at: float, now: float) -> str:
    """A time of the store as people write it, with the date where it is another day.

    Absolute, so that the sentence stays the same while nothing changes.
    """
    when = datetime.fromtimestamp(min(max(0.0, at), _LAST), timezone.utc)
    today = datetime.fromtimestamp(min(max(0.0, now), _LAST), timezone.utc)
    if when.date() == today.date() or abs(at - now) < _DAY / 4:
        return f"{when:%H:%M:%S} UTC"
    return f"{when:%Y-%m-%d %H:%M} UTC"


def command(situation: Situation, verb: str, run: Run) -> str:
    """The command that does something with a run, behind a colon; empty where none is named."""
    if not situation.command:
        return ""
    return f": {situation.command} {verb} {shown(shlex.quote(run.id))}"


def start_worker(situation: Situation, queue: str = "") -> str:
    """How to start a worker, for a queue."""
    consuming = f" -Q {shown(shlex.quote(queue))}" if queue else ""
    if not situation.command:
        return f"start one with{consuming}" if queue else "start one"
    return f"start one: {situation.command.removesuffix(' graceful')} worker{consuming}"


def held_words(holds: Sequence[Hold], situation: Situation) -> str:
    """``held by maintenance "migration 0042" of ann until 14:30:00 UTC``.

    Of several, the one that ends last, since a run waits for it.
    """
    last = max(holds, key=lambda hold: (hold.until is None, hold.until or 0.0))
    reason = f' "{shown(last.reason)}"' if last.reason else ""
    until = f"until {moment(last.until, situation.now)}" if last.until else _until_up(situation)
    more = len(holds) - 1
    others = f" (and {more} more)" if more else ""
    return f"held by maintenance{reason} of {shown(last.who, 100)}{others} {until}"


def _until_up(situation: Situation) -> str:
    return f"until {situation.command} up" if situation.command else "until somebody ends it (up)"
