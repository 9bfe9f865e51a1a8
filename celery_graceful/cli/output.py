"""Tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from celery_graceful.printable import printable, printable_json

if TYPE_CHECKING:
    from celery_graceful.cli.desk import Desk

__all__ = ["print_json", "print_pairs", "print_table", "say", "whom"]


def whom(at: Desk, lines: Sequence[str] = ()) -> None:
    """Say on stderr whom a change concerns."""
    runtime = at.runtime
    say(f"App {runtime.namespace}, broker {runtime.broker}, store {at.store}", err=True)
    for line in lines:
        say(line, err=True)


def say(line: str = "", *, err: bool = False, styled: bool = False) -> None:
    """One line, on stdout or stderr: what others wrote into it stays within it.

    Args:
        styled: It has colours, and is made safe already.
    """
    _write(line if styled else printable(line), err=err)


def _write(text: str, *, err: bool = False) -> None:
    try:
        click.echo(text, err=err)
    except UnicodeEncodeError:  # a terminal or a pipe that has no UTF-8
        click.echo(text.encode("ascii", "backslashreplace").decode("ascii"), err=err)


def print_json(schema: int, **data: Any) -> None:
    """One JSON object on stdout, beginning with the number of its schema."""
    _write(printable_json(json.dumps({"schema": schema, **data}, indent=2, ensure_ascii=False)))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout: by rich in a terminal, else plain columns that no width cuts."""
    if sys.stdout.isatty() and _print_rich(headings, rows):
        return
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in (headings, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        say("  ".join(cells).rstrip())


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Names and values, one pair a line."""
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        say(f"{name.ljust(width)}  {value}")


def _print_rich(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return False
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading not in ("cursor", "reason"))
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    Console().print(table)
    return True
