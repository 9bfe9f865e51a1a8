"""Lines of a frame: texts with styles, columns that fit, bars. Pure.

A style is a word such as ``bad``; how it looks is up to who draws. Nothing is shown by style
alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from celery_graceful.text.printable import printable
from celery_graceful.text.terminal import cell_width, wrapped

#: Characters of a text of others that are looked at at all.
_MOST = 1000
_GAP = 2


class Span(NamedTuple):
    """A text in one style."""

    text: str
    style: str = ""


Line = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    heading: str
    #: It is this wide at least, if its cells are; and not wider than ``most``.
    least: int
    most: int = 40
    #: Numbers stand at the right.
    right: bool = False
    #: Where a cell that is too long is cut: names differ at their ends.
    cut_front: bool = False


def safe(text: str) -> str:
    """A text of others on one line, without what a terminal obeys."""
    return printable(text[:_MOST])


def line(text: str = "", style: str = "") -> Line:
    """A line in one style."""
    return (Span(text, style),)


def cut(text: str, width: int, *, front: bool = False) -> str:
    """The text in at most ``width`` cells; what is missing is shown as ``…``."""
    if cell_width(text) <= width:
        return text
    kept = text[::-1] if front else text
    while kept and cell_width(kept) > width - 1:
        kept = kept[: min(len(kept) - 1, max(width, 1))]
    return f"…{kept[::-1]}" if front else f"{kept}…"


def fit(parts: Line, width: int | None) -> Line:
    """The line in at most ``width`` cells."""
    if width is None:
        return parts
    fitting, left = [], width
    for span in parts:
        text = cut(span.text, left) if left > 0 else ""
        left -= cell_width(text)
        if text:
            fitting.append(Span(text, span.style))
    return tuple(fitting)


def paragraph(
    text: str, style: str, width: int | None, *, indent: str = "", most: int = 2
) -> list[Line]:
    """A sentence in lines: at most so many, the last one cut."""
    if width is None:
        return [line(indent + text, style)]
    room = max(10, width - len(indent))
    lines = wrapped(text[: 2 * room * most], room)
    shown = lines[:most]
    if len(lines) > most:
        shown[-1] = cut(f"{shown[-1]} …", room)
    return [line(indent + each, style) for each in shown]


def widths(
    columns: Sequence[Column], cells: Sequence[Sequence[Span]], width: int | None
) -> dict[int, int]:
    """Which columns are shown, by their places, and how wide they are.

    The first columns are the most important ones: as many are shown as fit at their least, and then
    all get wider, the first ones first.
    """
    natural = [
        min(column.most, max(map(cell_width, (column.heading, *(row[at].text for row in cells)))))
        for at, column in enumerate(columns)
    ]
    if width is None:
        return {
            at: max(map(cell_width, (columns[at].heading, *(row[at].text for row in cells))))
            for at in range(len(columns))
        }
    least = [min(wide, column.least) for wide, column in zip(natural, columns, strict=True)]
    shown: dict[int, int] = {}
    left = width
    for at, need in enumerate(least):
        need += _GAP if shown else 0
        if need > left and shown:
            continue
        shown[at] = min(least[at], left)
        left -= need
    for at in shown:
        wider = min(natural[at] - shown[at], max(0, left))
        shown[at] += wider
        left -= wider
    return shown


def row(columns: Sequence[Column], cells: Sequence[Span], fitting: dict[int, int]) -> Line:
    """One line of a table."""
    spans: list[Span] = []
    for at, wide in sorted(fitting.items()):
        column, cell = columns[at], cells[at]
        text = cut(cell.text, wide, front=column.cut_front)
        parts = [Span(text, cell.style), Span(" " * (wide - cell_width(text)))]
        spans += [Span(" " * _GAP)] if spans else []
        spans += reversed(parts) if column.right else parts
    return tuple(spans)


def bar(share: float | None, width: int) -> str:
    """A bar of so many cells, full at 1; one that is not known is dotted."""
    if share is None:
        return "·" * width
    done = int(min(1.0, max(0.0, share)) * width)
    return "█" * done + "░" * (width - done)


def short_number(number: float) -> str:
    """``9,999``, ``12.3k``, ``4.56M``, ``7.89G``: at most six characters."""
    if abs(number) < 10_000:
        return f"{number:,.0f}"
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            value = number / size
            digits = 0 if value >= 100 else 1 if value >= 10 else 2
            return f"{value:,.{digits}f}{unit}"
    return f"{number:,.0f}"


def short_span(seconds: float) -> str:
    """``42s``, ``6m10s``, ``3h05m``, ``12d``: at most six characters; a negative span is none."""
    whole = int(max(0.0, min(seconds, 1e11)))
    minutes, left = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 100:
        return f"{short_number(hours // 24)}d"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{left:02}s" if minutes else f"{left}s"
