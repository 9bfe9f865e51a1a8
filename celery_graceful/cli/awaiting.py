"""Showing what ``down --wait`` waits for, while it does."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from celery_graceful.cli.output import say
from celery_graceful.cli.workers_shown import summary
from celery_graceful.maintenance.barrier import BarrierState, Block

_NAMED = 10


def shown_live(looks: Iterable[BarrierState], seen: list[BarrierState]) -> None:
    """Show each look on stderr: live in a terminal, else a line when something changes.

    Args:
        seen: keeps the latest look, whatever ends this.
    """
    live = _rich() if sys.stderr.isatty() else None
    if live is None:
        _in_lines(looks, seen)
        return
    with live:
        for standing in looks:
            seen[:] = [standing]
            live.update("\n".join(_lines(standing)))


def _rich() -> Any:
    try:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text
    except ImportError:
        return None

    class Shown(Live):
        def update(self, renderable: Any, *, refresh: bool = False) -> None:
            super().update(Text(renderable), refresh=refresh)

    return Shown(console=Console(stderr=True), transient=True)


def _in_lines(looks: Iterable[BarrierState], seen: list[BarrierState]) -> None:
    before: object = None
    for standing in looks:
        seen[:] = [standing]
        now = [_apart_from_time(block) for block in standing.blocks]
        if now and now != before:
            for line in _lines(standing):
                say(line, err=True)
        before = now


def _apart_from_time(block: Block) -> tuple[str, ...]:
    return block.worker, block.task, block.id, "" if block.task else block.why[:30]


def _lines(standing: BarrierState) -> list[str]:
    blocks = standing.blocks
    if not blocks:
        return [summary(standing)]
    more = [f"  and {len(blocks) - _NAMED} more"] if len(blocks) > _NAMED else []
    named = [f"  {block}" for block in blocks[:_NAMED]]
    return [f"{summary(standing)}; waiting for", *named, *more]
