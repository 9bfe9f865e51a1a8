"""Tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import click

from celery_graceful.cli.table_layout import laid_out
from celery_graceful.text.printable import printable, printable_json
from celery_graceful.text.terminal import terminal_width

if TYPE_CHECKING:
    from celery_graceful.cli.context import OpenApp


def whom(at: OpenApp, lines: Sequence[str] = ()) -> None:
    """Say on stderr whom a change concerns."""
    runtime = at.runtime
    say(f"App {runtime.namespace}, broker {runtime.broker_shown}, store {at.store}", err=True)
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


def print_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    solid: Collection[str] = (),
    spare: Sequence[str] = (),
) -> None:
    """A table on stdout that fits the terminal; elsewhere plain columns that no width cuts.

    Args:
        headings: of the columns.
        rows: their cells.
        solid: headings of columns that are for copying, and not wrapped.
        spare: headings of columns that may be left out where the terminal is narrow, in this order.
    """
    safe = [[printable(cell) for cell in row] for row in rows]
    for line in laid_out(headings, safe, terminal_width(), solid=solid, spare=spare):
        say(line)


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Names and values, one pair a line."""
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        say(f"{name.ljust(width)}  {value}")
