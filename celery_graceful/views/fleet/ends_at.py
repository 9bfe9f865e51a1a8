"""When a hold ends, as people write it: after ``30m``, or at ``14:30``."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from celery_graceful.durations import parse

_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_HINT = "Write how long (30m, 2h) or until when (14:30, 2026-11-30 14:30)."


def seconds_until(text: str, now: datetime) -> float | None:
    """Seconds from ``now`` until then; ``None`` when nothing is written.

    Args:
        text: a span as settings have it, a time of day (the next one), or a date with a time.
        now: with the zone that times are meant in.

    Raises:
        ValueError: it is neither, or is over; the message says what can be written.
    """
    written = text.strip()
    if not written:
        return None
    if _CLOCK.fullmatch(written):
        hour, minute = map(int, written.split(":"))
        then = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
        return _left(then if then > now else then + timedelta(days=1), now)
    if (moment := _moment(written, now)) is not None:
        if moment <= now:
            raise ValueError(f"{written!r:.60} is over. {_HINT}")
        return _left(moment, now)
    try:
        seconds = parse(written)
    except ValueError:
        raise ValueError(f"{written!r:.60} is no time. {_HINT}") from None
    if not seconds:
        raise ValueError(f"{written!r:.60} is no time at all. {_HINT}")
    return seconds


def _moment(text: str, now: datetime) -> datetime | None:
    iso = f"{text[:-1]}+00:00" if text[-1] in "zZ" else text
    try:
        found = datetime.fromisoformat(iso)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=now.tzinfo)


def _left(then: datetime, now: datetime) -> float:
    # Aware moments of one zone are subtracted by their clocks: not over a change to summer time.
    return then.timestamp() - now.timestamp()
