"""Tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from celery_graceful.cli.desk import Desk

__all__ = ["print_json", "print_pairs", "print_table", "whom"]


def whom(at: Desk, lines: Sequence[str] = ()) -> None:
    """Say on stderr whom a change concerns."""
    runtime = at.runtime
    click.echo(f"App {runtime.namespace}, broker {runtime.broker}, store {at.store}", err=True)
    for line in lines:
        click.echo(line, err=True)


def print_json(schema: int, **data: Any) -> None:
    """One JSON object on stdout, beginning with the number of its schema."""
    click.echo(json.dumps({"schema": schema, **data}, indent=2, ensure_ascii=False))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout: by rich in a terminal, else plain columns that no width cuts."""
    if sys.stdout.isatty() and _print_rich(headings, rows):
        return
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in (headings, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Names and values, one pair a line."""
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        click.echo(f"{name.ljust(width)}  {value}")


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
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
    return True
