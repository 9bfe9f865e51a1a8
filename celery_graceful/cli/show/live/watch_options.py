"""The options of commands that draw a table again and again."""

from __future__ import annotations

from typing import Any

import click

from celery_graceful.cli.exit_codes import Misuse
from celery_graceful.cli.options import duration

#: Seconds between two frames.
_EVERY = 2.0


def watch_options(function: Any) -> Any:
    """The options ``--watch`` and ``--interval``."""
    function = click.option(
        "-i", "--interval", metavar="TIME", help="With --watch: the time between two looks; 2s."
    )(function)
    return click.option(
        "--watch", is_flag=True, help="Draw it again and again until Ctrl-C; needs rich."
    )(function)


def interval_of(interval: str | None, *, watch: bool, as_json: bool) -> float | None:
    """The seconds between two frames; ``None``: only one is asked for.

    Raises:
        Misuse: these options do not go together.
    """
    if not watch:
        if interval is not None:
            raise Misuse("--interval is for --watch.")
        return None
    if as_json:
        raise Misuse("--watch draws a table, and --json prints data once: give one of them.")
    return _EVERY if interval is None else duration(interval)
