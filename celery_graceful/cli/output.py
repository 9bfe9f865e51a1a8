"""What commands print: lines, tables that fit a terminal, and JSON.

Cells of tables are wrapped, never cut, and never too narrow to be read.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from celery_graceful.text.printable import printable, printable_json
from celery_graceful.text.terminal import cell_width, terminal_width, wrapped

if TYPE_CHECKING:
    from celery_graceful.cli.context import OpenApp

#: Between two columns.
_GAP = "  "
#: A column that is wrapped stays this wide at least, if its cells are.
_LEAST = 12
#: Characters of a cell; of a longer one the middle is left out.
_LONGEST = 1000
Row = Sequence[str]


def whom(at: OpenApp, lines: Sequence[str] = ()) -> None:
    """Print on stderr what a change is about: the app, and more lines."""
    runtime = at.runtime
    say(f"App {runtime.namespace}, broker {runtime.broker_shown}, store {at.store}", err=True)
    for line in lines:
        say(line, err=True)


def say(line: str = "", *, err: bool = False, styled: bool = False) -> None:
    """Print one line, on stdout or stderr; control characters in it are escaped.

    Args:
        line: the text.
        err: on stderr.
        styled: the line has colours, and is escaped already.
    """
    _write(line if styled else printable(line), err=err)


def _write(text: str, *, err: bool = False) -> None:
    try:
        click.echo(text, err=err)
    except UnicodeEncodeError:  # a terminal or a pipe that has no UTF-8
        click.echo(text.encode("ascii", "backslashreplace").decode("ascii"), err=err)


def print_json(schema: int, **data: Any) -> None:
    """Print a JSON object on stdout, with the number of its schema."""
    _write(printable_json(json.dumps({"schema": schema, **data}, indent=2, ensure_ascii=False)))


def print_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    solid: Collection[str] = (),
    spare: Sequence[str] = (),
) -> None:
    """Print a table that fits the terminal; into a pipe or file, each row on one line.

    Args:
        headings: of the columns.
        rows: their cells.
        solid: headings of columns that are copied, and so not wrapped.
        spare: headings of columns that may be left out in a narrow terminal, in this order.
    """
    safe = [[printable(cell, _LONGEST) for cell in row] for row in rows]
    for line in laid_out(headings, safe, terminal_width(), solid=solid, spare=spare):
        say(line)


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Print names and values, one pair a line."""
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        say(f"{name.ljust(width)}  {value}")


# -- the layout of tables ---------------------------------------------------------------------


def laid_out(
    headings: Row,
    rows: Sequence[Row],
    width: int | None = None,
    *,
    solid: Collection[str] = (),
    spare: Sequence[str] = (),
) -> Iterator[str]:
    """The lines of a table.

    Where it does not fit, cells are wrapped, those of the widest columns first. Where that is not
    enough, columns that can be spared are left out, one by one; and where nothing helps, each row
    becomes a block of lines, a heading and a value each.

    Args:
        headings: one word or more for each column.
        rows: as many cells as headings each.
        width: cells of the terminal; ``None``: no limit.
        solid: headings of columns whose cells are for copying, and not wrapped.
        spare: headings of columns that may be left out, in this order.
    """
    table = [headings, *rows]
    if width is None or natural_width(headings, rows) <= width:
        return _in_columns(table, _widths(table))
    for left_out in range(len(spare) + 1):
        kept = [at for at, heading in enumerate(headings) if heading not in spare[:left_out]]
        narrower = [[row[at] for at in kept] for row in table]
        widths = _fitted(narrower, width, [heading in solid for heading in narrower[0]])
        if widths is not None:
            return _in_columns(narrower, widths)
    return _blocks(headings, rows)


def natural_width(headings: Row, rows: Sequence[Row]) -> int:
    """How wide the table is with every cell on one line."""
    return _total(_widths([headings, *rows]))


def _widths(table: Sequence[Row]) -> list[int]:
    return [max(map(cell_width, column)) for column in zip(*table, strict=True)]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _fitted(table: Sequence[Row], width: int, solid: Sequence[bool]) -> list[int] | None:
    """The widths of columns that fit, the widest ones made narrower; ``None``: there are none."""
    widths = _widths(table)
    cells = _widths([[""] * len(solid), *table[1:]])
    least = [
        # A heading may be wrapped in any column, at its spaces.
        max(natural if whole else min(natural, _LEAST), _longest_word(heading))
        for natural, whole, heading in zip(cells, solid, table[0], strict=True)
    ]
    if _total(least) > width:
        return None
    while (over := _total(widths) - width) > 0:
        room = [at for at in range(len(widths)) if widths[at] > least[at]]
        widest = max(room, key=lambda at: widths[at])
        others = [widths[at] for at in room if widths[at] < widths[widest]]
        step = widths[widest] - max([least[widest], *others])
        widths[widest] -= min(over, max(1, step))
    return widths


def _longest_word(text: str) -> int:
    return max(map(cell_width, text.split()), default=0)


def _in_columns(table: Sequence[Row], widths: Sequence[int]) -> Iterator[str]:
    for row in table:
        yield from _lines(row, widths)


def _lines(row: Row, widths: Sequence[int]) -> Iterator[str]:
    cells = [wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
    for number in range(max(map(len, cells))):
        parts = [lines[number] if number < len(lines) else "" for lines in cells]
        padded = (
            part + " " * (w - cell_width(part)) for part, w in zip(parts, widths, strict=True)
        )
        yield _GAP.join(padded).rstrip()


def _blocks(headings: Row, rows: Sequence[Row]) -> Iterator[str]:
    width = max(map(cell_width, headings))
    for number, row in enumerate(rows):
        if number:
            yield ""
        for heading, cell in zip(headings, row, strict=True):
            yield f"{heading}{' ' * (width - cell_width(heading))}{_GAP}{cell}".rstrip()
