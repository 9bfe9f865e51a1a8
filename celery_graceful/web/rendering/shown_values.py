"""How numbers, moments, cursors and long texts are shown: the filters of the templates."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from celery_graceful.durations import short
from celery_graceful.text.masking import mask_text
from celery_graceful.text.printable import printable, printable_json, printable_lines
from celery_graceful.views.runs import plain

#: Python's calendar has no later moment, and years before 1 cannot be written.
_END_OF_TIME = 200_000_000_000
#: Characters of a name that is kept in one line of a table.
_WHOLE = 18
#: Characters of a text that is shown.
_LONGEST = 20_000


def number(value: float | None) -> str:
    """``12,345``; with one decimal below 100 if it is no whole number."""
    if value is None:
        return "–"
    if isinstance(value, int) or value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:,.1f}" if value >= 1 else f"{value:.2g}"


def rate(value: float | None) -> str:
    """``12.5/s``."""
    return "–" if value is None else f"{number(value)}/s"


def duration(seconds: float | None) -> str:
    """``3h 12m``; rounded, so that it does not change at every look."""
    if seconds is None:
        return "–"
    if seconds >= 3600:
        seconds = round(seconds / 60) * 60
    return short(round(seconds) if seconds >= 10 else seconds)


def iso(at: float) -> str:
    """A moment in ISO 8601, for machines."""
    return _moment(at).isoformat(timespec="seconds").replace("+00:00", "Z")


def utc(at: float) -> str:
    """A moment for people, where no script shows it in their own zone."""
    return _moment(at).strftime("%Y-%m-%d %H:%M:%S UTC")


def as_json(value: Any, indent: int | None = None) -> str:
    """A cursor, a carry or arguments as JSON, with no character that does something."""
    try:
        text = json.dumps(plain(value), ensure_ascii=False, indent=indent)
    except (RecursionError, TypeError, ValueError):
        return "(too deep, or no JSON)"
    return printable_json(text)


def masked_json(value: Any, indent: int | None = None) -> str:
    """The same for what is only looked at: addresses in it are shown without passwords."""
    return mask_text(as_json(value, indent)[:_LONGEST])


def masked(text: str) -> str:
    """A text of others, such as an error, with the passwords in it masked."""
    return mask_text(text[:_LONGEST])


def lines(text: str) -> Any:
    """A text of others with its lines, for ``<pre>``; passwords in it are masked."""
    from markupsafe import Markup, escape

    if len(text) > _LONGEST:
        text = f"… ({len(text):,} characters)\n{text[-_LONGEST:]}"
    return Markup(escape(printable_lines(mask_text(text))))


def middle_cut(text: str, most: int = 60) -> str:
    """Beginning and end of a long text."""
    if len(text) <= most:
        return text
    half = (most - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def tail(text: str, most: int = 40) -> str:
    """The end of a long text, where cursors differ."""
    return text if len(text) <= most else "…" + text[1 - most :]


def breakable(text: str) -> Any:
    """The name of a worker or a process: whole if it is short, else a line may end after ``@``."""
    from markupsafe import Markup, escape

    shown = escape(printable(text))
    if len(text) <= _WHOLE:
        return Markup('<span class="whole">{}</span>').format(shown)
    return Markup("<span>{}</span>").format(shown.replace("@", Markup("@<wbr>")))


def node_name(owner: str) -> str:
    """The node name of a worker, without what names its start."""
    return owner.rpartition("/")[0] or owner


def as_typed(text: str) -> Any:
    """A value of a form's field, with every character: what somebody wrote is not changed."""
    from markupsafe import escape

    return escape(text.replace("\x00", ""))


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(min(max(at, 0.0), _END_OF_TIME), timezone.utc)


FILTERS = {
    "number": number,
    "rate": rate,
    "duration": duration,
    "iso": iso,
    "utc": utc,
    "as_json": as_json,
    "masked": masked,
    "masked_json": masked_json,
    "as_typed": as_typed,
    "lines": lines,
    "middle_cut": middle_cut,
    "tail": tail,
    "node_name": node_name,
    "breakable": breakable,
}
