"""What the maintenance mode holds, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from celery_graceful.model.maintenance.mode import Hold
from celery_graceful.views.waiting.wording import moment, shown

if TYPE_CHECKING:
    from celery_graceful.views.waiting.situation import Situation


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
